"""Special uses (RFC 6154): which mailbox is the Sent, the Trash and so on.

A client that is not told makes mailboxes of its own, in its user's language, beside those of
the other clients (L-1); two mailboxes with one use confuse clients as well (L-2). So at the
first login each use goes to the mailbox that looks like it, or to a new one with a short
English name, which clients translate; and never to two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from maa.store.names import INBOX, SEPARATOR, key

DRAFTS: Final = "\\Drafts"
SENT: Final = "\\Sent"
TRASH: Final = "\\Trash"
JUNK: Final = "\\Junk"
ARCHIVE: Final = "\\Archive"

USES: Final = (DRAFTS, SENT, TRASH, JUNK, ARCHIVE)
"""The uses a mailbox may have here."""

NAMES: Final = {
    DRAFTS: "Drafts",
    SENT: "Sent",
    TRASH: "Trash",
    JUNK: "Junk",
    ARCHIVE: "Archive",
}
"""What a new mailbox with a use is called."""

# The names that clients and other servers use, the commonest first: when a user has several,
# the first of them gets the use.
_ALIASES: Final = {
    DRAFTS: """
        Drafts; Draft; Brouillons; Brouillon; Entwürfe; Entwurf; Borradores; Borrador; Bozze;
        Concepten; Rascunhos; Kladder; Utkast; Luonnokset; Szkice; Kopie robocze; Koncepty;
        Rozepsané; Piszkozatok; Vázlatok; Ciorne; Schițe; Чернетки; Черновики; Чернови; Нацрти;
        Taslaklar; Πρόχειρα; טיוטות; المسودات; مسودات; ドラフト; 下書き; 草稿; 草稿箱; 草稿夾;
        임시 보관함; 임시보관함; Thư nháp; Bản nháp; แบบร่าง; ฉบับร่าง; Konsep; Draf;
        Mustandid; Melnraksti; Juodraščiai; Osnutki; Skice; Esborranys; Zirriborroak
    """,
    SENT: """
        Sent; Sent Items; Sent Messages; Sent Mail; Sent-Mail; sent-mail; Envoyés;
        Éléments envoyés; Messages envoyés; Courrier envoyé; Gesendet; Gesendete Objekte;
        Gesendete Elemente; Gesendete Nachrichten; Enviados; Elementos enviados;
        Mensajes enviados; Correo enviado; Posta inviata; Inviata; Inviati; Elementi inviati;
        Messaggi inviati; Verzonden; Verzonden items; Verzonden berichten; Itens enviados;
        Itens Enviados; Mensagens enviadas; Sendt; Sendt post; Sendte elementer;
        Sendte meldinger; Skickat; Skickade objekt; Skickade meddelanden; Skickade; Lähetetyt;
        Lähetetyt viestit; Wysłane; Elementy wysłane; Wysłane wiadomości; Odeslané;
        Odeslaná pošta; Odoslané; Odoslaná pošta; Elküldött; Elküldött elemek;
        Elküldött üzenetek; Trimise; Elemente trimise; Надіслані; Надіслані елементи;
        Отправленные; Изпратени; Послато; Gönderilmiş Öğeler; Gönderilenler; Gönderilmiş;
        Απεσταλμένα; נשלחו; פריטים שנשלחו; المرسلة; البريد المرسل; العناصر المرسلة; 送信済み;
        送信済みアイテム; 送信済みメール; 已发送; 已发送邮件; 已发邮件; 已傳送; 寄件備份;
        寄件備份匣; 보낸 편지함; 보낸편지함; 보낸 메일함; Thư đã gửi; Đã gửi; ส่งแล้ว;
        รายการที่ส่ง; Terkirim; Item Terkirim; Saadetud; Nosūtītie; Išsiųsta; Išsiųstieji;
        Poslano; Enviats; Elements enviats; Bidalita; Bidalitakoak; Poslate stavke; प्रेषित
    """,
    TRASH: """
        Trash; Deleted Items; Deleted Messages; Deleted; Bin; Wastebasket; Corbeille;
        Éléments supprimés; Messages supprimés; Papierkorb; Gelöscht; Gelöschte Objekte;
        Gelöschte Elemente; Gelöschte Nachrichten; Papelera; Elementos eliminados;
        Mensajes eliminados; Eliminados; Cestino; Posta eliminata; Elementi eliminati;
        Eliminati; Prullenbak; Prullenmand; Verwijderd; Verwijderde items;
        Verwijderde berichten; Lixeira; Lixo; Itens excluídos; Itens Excluídos;
        Itens eliminados; Papirkurv; Slettet post; Slettede elementer; Papperskorgen;
        Papperskorg; Borttaget; Borttagna objekt; Roskakori; Poistetut; Kosz;
        Elementy usunięte; Usunięte; Koš; Odstraněná pošta; Kôš; Odstránené; Lomtár; Kuka;
        Törölt elemek; Törölt üzenetek; Coș de gunoi; Elemente șterse; Gunoi; Кошик; Видалені;
        Корзина; Удаленные; Удалённые; Кошче; Изтрити; Смеће; Otpad; Çöp Kutusu; Çöp;
        Silinmiş Öğeler; Κάδος; Απορρίμματα; Διαγραμμένα; אשפה; פריטים שנמחקו; المهملات;
        سلة المهملات; العناصر المحذوفة; ゴミ箱; ごみ箱; 削除済みアイテム; 已删除; 已删除邮件;
        废纸篓; 垃圾桶; 刪除的郵件; 휴지통; 지운 편지함; 지운편지함; Thùng rác; Đã xóa; ถังขยะ;
        รายการที่ถูกลบ; Sampah; Tong Sampah; Prügikast; Miskaste; Atkritne; Šiukšlinė; Smeti;
        Koš za smeće; Paperera; Elements suprimits; Zakarrontzia; रद्दी; कचरा
    """,
    JUNK: """
        Junk; Spam; Junk E-mail; Junk Email; Junk Mail; Bulk Mail; Bulk; Indésirables;
        Courrier indésirable; Pourriel; Pourriels; Junk-E-Mail; Junk-Mail; Spamverdacht;
        Unerwünscht; Unerwünschte Werbung; Correo no deseado; Correo basura; No deseado;
        Posta indesiderata; Indesiderata; Ongewenste e-mail; Ongewenst; Ongewenste reclame;
        Reclame; Lixo eletrônico; Lixo Eletrônico; Correio de lixo; E-mail de lixo; Uønsket;
        Uønsket e-post; Uønsket mail; Uønsket mail (spam); Søppelpost; Skräppost; Skräp;
        Roskaposti; Niechciane; Wiadomości-śmieci; Wiadomości śmieci; Nevyžádaná pošta;
        Nevyžádané; Nevyžiadaná pošta; Nevyžiadané; Levélszemét; Kéretlen levelek;
        Mesaje nedorite; E-mail nedorit; Небажана пошта; Спам; Нежелательная почта;
        Нежелательные; Нежелана поща; Непожељно; Önemsiz; Önemsiz E-posta; İstenmeyen;
        Gereksiz E-posta; Ανεπιθύμητα; Ανεπιθύμητη αλληλογραφία; דואר זבל; ספאם;
        البريد العشوائي; بريد مزعج; البريد غير الهام; البريد غير المرغوب فيه; 迷惑メール;
        垃圾邮件; 垃圾郵件; 정크 메일; 스팸; 스팸 메일함; 스팸메일함; Thư rác; อีเมลขยะ;
        Rämpspost; Mēstules; Brukalas; Vsiljena pošta; Neželjena pošta; Correu brossa;
        Zabor-posta; स्पैम
    """,
    ARCHIVE: """
        Archive; Archives; Archived; Archiv; Archivo; Archivos; Archivio; Archivi; Archief;
        Archieven; Arquivo; Arquivos; Arquivadas; Arkiv; Arkisto; Arkistot; Archiwum; Archiwa;
        Archivum; Archívum; Archív; Archívy; Archivy; Arhivă; Arhiva; Arhive; Arhiiv; Arhīvs;
        Archyvas; Arhiv; Архів; Архив; Архива; Arşiv; Arşivler; Αρχειοθήκη; Αρχείο; ארכיון;
        الأرشيف; أرشيف; アーカイブ; 存档; 归档; 封存; 보관함; 보관 편지함; Lưu trữ;
        ที่เก็บถาวร; Arsip; Arkib; Arxiu; Arxius; Artxiboa; संग्रह
    """,
}


def _folded(name: str) -> str:
    return key(key(name).casefold())


_RANKS: Final = {
    use: {_folded(" ".join(alias.split())): rank for rank, alias in enumerate(aliases.split(";"))}
    for use, aliases in _ALIASES.items()
}


def use_of_name(name: str) -> str | None:
    """The use that a mailbox's name suggests: at the top, or right below INBOX."""
    folded = _folded(name.removeprefix(INBOX + SEPARATOR))
    return next((use for use, ranks in _RANKS.items() if folded in ranks), None)


def found(names: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """The mailbox for each use not `taken`, where one looks like it: use -> name."""
    best: dict[str, tuple[int, str]] = {}
    for name in names:
        use = use_of_name(name)
        if use is not None and use not in taken:
            rank = _RANKS[use][_folded(name.removeprefix(INBOX + SEPARATOR))]
            best[use] = min(best.get(use, (rank, name)), (rank, name))
    return {use: name for use, (_, name) in best.items()}
