// What the test asks of Thunderbird: its mail session, as its own windows use it.
// Evaluated once a session; what the test calls are functions of `window.maaTest`.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");

const server = () => MailServices.accounts.getIncomingServer("server1");
const folder = path => {
    let found = server().rootFolder;
    for (const name of path.split("/")) {
        found = found.getChildNamed(name);
        if (!found) throw new Error(`no folder ${path}`);
    }
    return found.QueryInterface(Ci.nsIMsgImapMailFolder);
};
const headers = path => [...folder(path).messages];
const header = (path, subject) => {
    const found = headers(path).filter(one => one.mime2DecodedSubject === subject);
    if (found.length !== 1) throw new Error(`${found.length} messages ${subject} in ${path}`);
    return found[0];
};
const url = start => new Promise((resolve, reject) => start({
    QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
    OnStartRunningUrl() {},
    OnStopRunningUrl(which, status) {
        if (Components.isSuccessCode(status)) resolve();
        else reject(new Error(`${which?.spec}: 0x${status.toString(16)}`));
    },
}));
const copied = start => new Promise((resolve, reject) => start({
    QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
    onStartCopy() {},
    onProgress() {},
    setMessageKey() {},
    getMessageId() {},
    onStopCopy(status) {
        if (Components.isSuccessCode(status)) resolve();
        else reject(new Error(`copy: 0x${status.toString(16)}`));
    },
}));
const until = async (what, check) => {
    for (let turn = 0; turn < 400; turn++) {
        if (check()) return;
        await new Promise(done => window.setTimeout(done, 25));
    }
    throw new Error(`in vain: ${what}`);
};
const exists = path => {
    try { return Boolean(folder(path)); } catch { return false; }
};

const mail = window.maaTest = {
    // It starts offline, so that nobody asks for the password before it is here.
    connect(password, certificate) {
        // This certificate and no other is right, as its user would confirm.
        const known = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
        Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService)
            .rememberValidityOverride("localhost", server().port, {},
                known.constructX509FromBase64(certificate), true);
        server().password = password;
        mail.online();
    },
    online() {
        Cc["@mozilla.org/messenger/offline-manager;1"].getService(Ci.nsIMsgOfflineManager)
            .goOnline(false, true, null);
    },
    offline() { Services.io.offline = true; },
    async folders() {
        server().performExpand(null);
        await until("folders", () => exists("Sent"));
        return server().rootFolder.descendants.map(one => one.URI.split("/").slice(3).join("/"));
    },
    exists,
    async fetch(path) {
        await url(listener => folder(path).updateFolderWithListener(null, listener));
    },
    async get() { await url(listener => folder("INBOX").getNewMessages(null, listener)); },
    list(path) {
        return headers(path).map(one => ({
            subject: one.mime2DecodedSubject, read: one.isRead, flagged: one.isFlagged,
            answered: Boolean(one.flags & Ci.nsMsgMessageFlags.Replied),
            keywords: one.getStringProperty("keywords"),
        }));
    },
    async seen(path, subject, check) {
        await until(`${subject} ${check}`, () => headers(path).some(
            one => one.mime2DecodedSubject === subject && one[check]));
    },
    async count(path, messages) {
        await until(`${messages} messages in ${path}`, () => headers(path).length === messages);
    },
    source(path, subject) {
        const uri = folder(path).getUriForMsg(header(path, subject));
        return new Promise((resolve, reject) => {
            const parts = [];
            MailServices.messageServiceFromURI(uri).streamMessage(uri, {
                QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
                onStartRequest() {},
                onDataAvailable(request, stream, offset, count) {
                    const binary = Cc["@mozilla.org/binaryinputstream;1"]
                        .createInstance(Ci.nsIBinaryInputStream);
                    binary.setInputStream(stream);
                    parts.push(binary.readBytes(count));
                },
                onStopRequest(request, status) {
                    if (Components.isSuccessCode(status)) resolve(btoa(parts.join("")));
                    else reject(new Error(`0x${status.toString(16)}`));
                },
            }, null, null, false, "", false);
        });
    },
    read(path, subject) { folder(path).markMessagesRead([header(path, subject)], true); },
    flag(path, subject) { folder(path).markMessagesFlagged([header(path, subject)], true); },
    label(path, subject, label) { folder(path).addKeywordsToMessages([header(path, subject)], label); },
    async move(path, subject, target) {
        await copied(listener => MailServices.copy.copyMessages(
            folder(path), [header(path, subject)], folder(target), true, listener, null, false));
    },
    async remove(path, subject) {
        await copied(listener => folder(path).deleteMessages(
            [header(path, subject)], null, false, false, listener, false));
    },
    async create(name) {
        server().rootFolder.createSubfolder(name, null);
        await until(`folder ${name}`, () => exists(name));
    },
    async rename(name, to) {
        folder(name).rename(to, null);
        await until(`folder ${to}`, () => exists(to) && !exists(name));
    },
    // It asks whether it really shall, and waits in there for the answer.
    removeFolder(name) { window.setTimeout(() => folder(name).deleteSelf(null), 0); },
    async gone(name) { await until(`no folder ${name}`, () => !exists(name)); },
};
