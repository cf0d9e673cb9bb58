"""A client of writ in Python, written from docs/protocol.md: it signs in, asks, approves and reports.

    python client.py "send 5 USDC to bob" [--server ws://127.0.0.1:8420/ws] [--agent treasurer]

WALLET_KEY is the wallet's private key in hex. That of the throw-away wallet of `writ dev` is in dev-wallet.key in its data
folder.
"""
import argparse, base64, hashlib, json, os, secrets, sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from websockets.sync.client import connect

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data: bytes) -> str:
    n, out = int.from_bytes(data, "big"), ""
    while n:
        n, digit = divmod(n, 58)
        out = ALPHABET[digit] + out
    return out


def cid_bytes(cid: str) -> bytes:
    text = cid[1:].upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))


class RPCError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code, self.data = error["data"]["code"], error["data"]


class Client:
    """One socket and one session. Calls are made one at a time; what the server says unasked waits in `notes`."""

    def __init__(self, ws):
        self.ws = ws
        self.key, self.session, self.seq, self.ids, self.notes = Ed25519PrivateKey.generate(), b"", 0, 0, []
        self.did = "did:key:z" + base58(b"\xed\x01" + self.key.public_key().public_bytes_raw())
        self.channel = bytes.fromhex(self.note("hello")["channel"])

    def note(self, *methods: str):
        """Waits for the next notification of one of these methods."""
        while True:
            for i, frame in enumerate(self.notes):
                if frame["method"] in methods:
                    return self.notes.pop(i)["params"]
            frame = json.loads(self.ws.recv())
            if "method" in frame:
                self.notes.append(frame)

    def call(self, method: str, params: dict | None = None, signed=False):
        self.ids += 1
        raw = json.dumps(params or {}, separators=(",", ":"), ensure_ascii=False)
        auth = ""
        if signed:  # the bytes that are signed are those that stand in the frame
            self.seq += 1
            fields = [b"writ/frame/1", self.session, self.channel, self.seq.to_bytes(8, "big"), method.encode(),
                      hashlib.sha256(raw.encode()).digest()]
            sig = self.key.sign(b"".join(len(f).to_bytes(4, "big") + f for f in fields))
            auth = ',"auth":{"seq":%d,"sig":"%s"}' % (self.seq, base64.urlsafe_b64encode(sig).rstrip(b"=").decode())
        self.ws.send('{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s%s}' % (self.ids, method, raw, auth))
        while True:
            frame = json.loads(self.ws.recv())
            if "method" in frame:
                self.notes.append(frame)
            elif frame["id"] == self.ids:
                break
        if "error" in frame:
            if expected := frame["error"]["data"].get("expected"):
                self.seq = expected - 1
            raise RPCError(frame["error"])
        return frame["result"]

    def sign_in(self, wallet, agent: str, chain=1, **narrower):
        """Opens a session: the wallet signs the message in which every permission is a sentence."""
        ask = {"account": wallet.address, "chain": chain, "key": self.did, "agent": agent, **narrower}
        message = self.call("session.challenge", ask)["message"]
        print(message, file=sys.stderr)
        signature = wallet.sign_message(encode_defunct(text=message)).signature.hex()
        opened = self.call("session.open", {"message": message, "signature": "0x" + signature}, signed=True)
        self.session = cid_bytes(opened["session"])
        return opened

    def approve(self, wallet, run: str):
        """Signs what waits in a run, after showing it."""
        for a in self.call("approval.list")["approvals"]:
            if a["run"] == run:
                print("approve:", json.dumps(a.get("summary")), file=sys.stderr)
                signature = wallet.sign_message(encode_typed_data(full_message=a["typed_data"])).signature.hex()
                self.call("approval.decide", {
                    "run": run, "effect": a["effect"], "approve": True, "message": a["message"],
                    "signature": "0x" + signature, "idempotency_key": secrets.token_hex(16)}, signed=True)

    def run(self, wallet, agent: str, text: str):
        """Asks, approves what waits for the wallet, and returns the run, its answer and its totals."""
        params = {"agent": agent, "input": text, "idempotency_key": secrets.token_hex(16)}
        run, said = self.call("run.start", params, signed=True)["run"], ""
        self.call("run.subscribe", {"run": run})
        while True:
            event = self.note("run.event")
            for effect in event["does"]:
                match effect["kind"]:
                    case "say":
                        said = effect["text"]
                    case "seek":
                        self.approve(wallet, run)
                    case "close":
                        return {"run": run, "reason": effect["reason"], "said": said, "totals": effect["totals"]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    parser.add_argument("--server", default="ws://127.0.0.1:8420/ws")
    parser.add_argument("--agent", default="treasurer")
    parser.add_argument("--chain", type=int, default=1)
    args = parser.parse_args()
    wallet = Account.from_key(os.environ["WALLET_KEY"])
    with connect(args.server, subprotocols=["writ.v1.json"], max_size=16 << 20) as socket:
        client = Client(socket)
        client.sign_in(wallet, args.agent, args.chain)
        print(json.dumps(client.run(wallet, args.agent, args.text)))
