// A user's round with imapflow: the test says where, and reads what is printed as JSON.
import fs from 'node:fs';
import { ImapFlow } from 'imapflow';

const [port, user, password, certificate] = process.argv.slice(2);
const connect = async options => {
    const client = new ImapFlow({
        host: 'localhost', port: Number(port), secure: true, logger: false,
        tls: { ca: fs.readFileSync(certificate) },
        auth: { user, pass: password },
        ...options
    });
    client.seen = [];
    for (const event of ['exists', 'flags', 'expunge']) {
        client.on(event, data => client.seen.push([event, data.count ?? data.seq ?? data.uid]));
    }
    await client.connect();
    return client;
};
const result = {};
const wait = async check => {
    for (let turn = 0; turn < 200 && !check(); turn++) {
        await new Promise(done => setTimeout(done, 25));
    }
    return check();
};

const client = await connect({ qresync: true });
result.enabled = [...client.enabled].sort();
result.capabilities = [...client.capabilities.keys()].sort();
result.server = client.serverInfo?.name;
result.folders = (await client.list()).map(folder => [folder.path, folder.specialUse ?? '']);

let box = await client.mailboxOpen('INBOX');
result.exists = box.exists;
result.modseq = String(box.highestModseq ?? '');
result.bodies = [];
for await (const message of client.fetch('1:*', { uid: true, flags: true, envelope: true, source: true })) {
    result.bodies.push(message.source.toString('base64'));
}

// Two sessions at once: what one does the other hears while it idles.
const other = await connect({});
await other.mailboxOpen('INBOX');
client.idle();
await new Promise(done => setTimeout(done, 300));
await other.messageFlagsAdd('1', ['\\Flagged', '$Work']);
result.heardFlags = await wait(() => client.seen.some(([event, seq]) => event === 'flags' && seq === 1));
await other.append('INBOX', Buffer.from('Subject: pushed\r\n\r\nhello\r\n'), ['\\Seen']);
result.heardMail = await wait(() => client.seen.some(([event]) => event === 'exists'));
await other.mailboxCreate('Projekte');
const moved = await other.messageMove('2', 'Projekte');
result.moved = moved && moved.uidMap ? moved.uidMap.size : 0;
result.heardExpunge = await wait(() => client.seen.some(([event]) => event === 'expunge'));

result.search = await client.search({ subject: 'pushed' }, { uid: true });
result.status = await client.status('Projekte', { messages: true, unseen: true, uidNext: true });
await client.mailboxRename('Projekte', 'Ablage');
await client.mailboxDelete('Ablage');
const { highestModseq } = await client.status('INBOX', { highestModseq: true });
const known = { changedSince: highestModseq, uidValidity: client.mailbox.uidValidity };
await client.logout();

// A client that comes back with what it knew is told what happened since, and that alone.
const uids = await other.search({ all: true }, { uid: true });
await other.messageFlagsAdd(String(uids[0]), ['\\Answered'], { uid: true });
await other.messageDelete(String(uids[1]), { uid: true });
await other.logout();
const back = await connect({ qresync: true });
box = await back.mailboxOpen('INBOX', known);
result.resynced = box.qresync;
result.flagged = back.seen.filter(([event]) => event === 'flags').length;
result.vanished = back.seen.filter(([event]) => event === 'expunge').map(([, uid]) => uid);
result.deleted = uids[1];
result.changed = 0;
for await (const message of back.fetch('1:*', { uid: true, flags: true }, {
    changedSince: box.highestModseq })) {
    result.changed += message ? 1 : 0;
}
await back.logout();
console.log(JSON.stringify(result));
