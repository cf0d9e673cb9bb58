package tamper

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/tamper/carfile"
	"github.com/writ-run/writ/internal/tamper/toolbox"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// listVectors lists all files. The order is that of the 72 classes.
func listVectors() []vector {
	return slices.Concat(honest, brokenBytes, brokenBeside, brokenLinks, brokenSpelling, bombs, falseHistory,
		falseMeaning, manyRecords, contractWallets, falseDelegations, falseThreads, falseForks, falseFolds,
		falseSends, falseFiles, falsePosts, falseHedges, falseKeys, falseAssertions)
}

const verified, gaps = provenance.Verified, provenance.Gaps // a vector with a code has failed

const digest = "DIGEST" // what respellPrev replaces

// honest are the files that must not be refused.
var honest = []vector{
	{Name: "base", Verdict: verified,
		What: "an honest run: a call that reads, a transfer that the wallet approved, one that was denied",
		make: func(b *bench) ([]byte, error) { return b.wholeFile, nil }},
	{Name: "small", Verdict: verified, What: "an honest run of four steps",
		make: func(b *bench) ([]byte, error) { return b.smallFile, nil }},
	{Name: "honest-sealed", Keys: "-", Verdict: gaps,
		What: "the honest run for a reader without keys: nothing is wrong, not all can be checked",
		make: func(b *bench) ([]byte, error) { return b.smallFile, nil }},
	{Name: "honest-some-keys", Verdict: gaps,
		What: "the honest run for a reader who has the keys of the permission alone",
		make: func(b *bench) ([]byte, error) { return b.smallFile, nil },
		keys: func(b *bench) []byte {
			some := map[provenance.Link]provenance.LeafKey{}
			for _, p := range provenance.Payloads(&b.small.grant) {
				some[p.Leaf()] = b.small.keys[p.Leaf()]
			}
			return keyFile(some)
		}},
	{Name: "honest-erased", Verdict: gaps, What: "the honest run after the leaf of a tool's result was erased",
		make: changeFile(func(file []byte, b *bench) []byte {
			from, to := carfile.Find(file, resultAt(b.small, 2).Output.Leaf())
			return slices.Delete(file, from, to)
		})},
	{Name: "honest-indexed", Verdict: verified, What: "the honest run with an index of its steps",
		make: changeSafely(wholeWorld, func(h *history) { h.addIndex(len(h.steps)) })},
	{Name: "honest-wire", Verdict: verified, What: "a run with a provider, whose bytes are read again",
		make: changeSafely(wireWorld(nil), func(*history) {})},
	{Name: "honest-unheard", Verdict: gaps, What: "the same, of whose replies one has no bytes recorded",
		make: changeSafely(wireWorld(func(n int, mc *provenance.ModelCall) {
			if n == 1 {
				mc.Response, mc.Evidence = nil, 0
			}
		}), func(*history) {})},
	{Name: "honest-unread", Verdict: gaps, What: "the same, and the runtime does not say how the bytes are read",
		make: changeWorld(wireWorld(nil), func(w *world) { w.mute = true })},
	{Name: "reply-cut", Code: audit.CodeReplyForm, What: "the provider's bytes end in the middle of the answer",
		make: lieAboutReply(1, func(mc *provenance.ModelCall) {
			b, _ := mc.Response.Bytes()
			mc.Response = provenance.NewPayload(b[:40])
		})},
	{Name: "reply-id", Code: audit.CodeReplyID, What: "another id of the response than in the provider's bytes",
		make: lieAboutReply(1, func(mc *provenance.ModelCall) { mc.ID = "chatcmpl-7" })},
	{Name: "reply-model", Code: audit.CodeReplyModel, What: "another model answered than the provider's bytes say",
		make: lieAboutReply(1, func(mc *provenance.ModelCall) { mc.Answered = "script/1-large" })},
	{Name: "reply-text", Code: audit.CodeReplyText, What: "an answer that the model did not give",
		make: lieAboutReply(1,
			func(mc *provenance.ModelCall) { mc.Text = provenance.NewPayload([]byte("it said nothing")) })},
	{Name: "reply-call", Code: audit.CodeReplyCalls, What: "a tool call with other arguments than the model wrote",
		make: lieAboutReply(0, func(mc *provenance.ModelCall) {
			mc.Calls[0].Args = provenance.NewPayload([]byte(`{"text":"bye"}`))
		})},
	{Name: "reply-stop", Code: audit.CodeReplyStop, What: "another reason for the end of a reply",
		make: lieAboutReply(1, func(mc *provenance.ModelCall) { mc.Stop = model.StopFilter })},
	{Name: "reply-usage", Code: audit.CodeReplyUsage,
		What: "tokens that the provider did not count, with the cost and the sums that follow from them",
		make: lieAboutReply(1, func(mc *provenance.ModelCall) { mc.Usage.In, mc.Cost = 200, 220 })},
	{Name: "reply-tier", Code: audit.CodeReplyTier, What: "a service tier that the provider did not name",
		make: lieAboutReply(1, func(mc *provenance.ModelCall) { mc.Tier = "priority" })},
	{Name: "honest-public", Verdict: verified, What: "a run whose payloads are not sealed",
		make: changeWorld(smallWorld, func(w *world) {
			w.public, w.rules = true, rules+"  - {id: open, at: provenance.publish, effect: permit, mode: public}\n"
		})},
	{Name: "honest-fallback", Verdict: verified, What: "the first model failed, and the second answered",
		make: changeWorld(smallWorld, func(w *world) { w.fail = 1 })},
	{Name: "honest-in-doubt", Verdict: verified,
		What: "a broadcast that a crash left in doubt; it is not repeated",
		make: changeWorld(wholeWorld, func(w *world) { w.lapse = true })},
	{Name: "honest-open", Verdict: verified,
		What: "a run that still waits for the wallet, signed as far as it is",
		make: changeWorld(wholeWorld, func(w *world) { w.stop = 5 })},
	{Name: "honest-replaced", Verdict: verified, What: "a run whose transaction was replaced by one that offers more",
		make: changeWorld(replacedWorld(outbids), func(*world) {})},
	{Name: "honest-overrun", Verdict: verified,
		What: "a transaction that took twice what its call and a computed simulation said: counted, and said in the answer",
		make: changeWorld(overrunWorld, func(*world) {})},
	{Name: "honest-mandate", Verdict: verified,
		What: "a payment from the wallet's own account, by its delegation to the agent's",
		make: changeWorld(mandateWorld(nil), func(*world) {})},
	{Name: "honest-fee", Verdict: verified,
		What: "a token of which less arrives than leaves: the wallet was asked with both figures",
		make: changeWorld(wholeWorld, func(w *world) {
			w.foresees = func(f *tools.Foreseen) { f.Changes[1].After = lessAQuarter(f.Changes[1]) }
			w.mines = func(r *tools.Mined) {
				r.Changes[1].After = lessAQuarter(r.Changes[1])
				arrived := tools.SumOf(money.Of(usdc, 4_750_000))
				r.Arrived = &arrived
			}
		})},
	{Name: "honest-cancelled", Verdict: verified, What: "a run that the user cancelled while a tool was at work",
		make: changeWorld(wholeWorld, func(w *world) { w.cancel = 2 })},
	{Name: "honest-refused", Verdict: verified, What: "a transfer that the wallet refused",
		make: changeWorld(wholeWorld, func(w *world) { w.refuse = true })},
	{Name: "honest-revoked", Verdict: verified,
		What: "a session that was revoked after a transaction was signed; it is not broadcast",
		make: changeWorld(wholeWorld, func(w *world) { w.revoke = 6 })},
	{Name: "honest-failed", Verdict: verified, What: "no model answered",
		make: changeWorld(smallWorld, func(w *world) { w.fail = 100 })},
	{Name: "honest-other-order", Verdict: verified,
		What: "the blocks in another order, which a CAR file leaves open",
		make: func(b *bench) ([]byte, error) {
			blocks := slices.Clone(b.small.blocks)
			slices.Reverse(blocks[1:])
			return carfile.Write(blocks), nil
		}},
	{Name: "honest-sub-agent", Verdict: verified, What: "an agent that called another, whose run is in the file",
		make: makeFamily(false, func(*history) {})},
	{Name: "honest-sub-agent-own", Verdict: verified,
		What: "the run of the agent that was called, with the call and what led to it",
		make: makeFamily(true, func(*history) {})},
	{Name: "honest-sub-agent-apart", Verdict: gaps,
		What: "an agent that called another, whose run is in another file: a part of the whole",
		make: leaveOut(makeFamily(false, func(*history) {}), func(r provenance.Record) bool {
			h, ok := r.(*provenance.Head)
			return ok && h.Seq == 3 && h.Run != must(playWorld(bossWorld())).runCID
		})},
	{Name: "honest-resumed", Verdict: verified,
		What: "a run that a crash held up for a day before its tool's result, then went on",
		make: changeSafely(smallWorld, func(h *history) { shiftTimes(h, 2, 20*time.Minute) })},
	{Name: "honest-chain", Verdict: verified, Class: 40,
		What: "the history of the run that called, 42 steps in a line",
		make: calledBy(func(h *history) {})},
	{Name: "honest-two-branches", Verdict: verified,
		What: "two runs of one session that came from one thread, each by itself: a fork of the talk, not of a " +
			"history",
		make: changeSafely(smallWorld, func(h *history) { h.run.Nonce[0] ^= 1 })},
}

// brokenBytes are files of which single bytes are changed.
var brokenBytes = []vector{
	{Name: "record-bit", Code: provenance.CodeBlockHash, Class: 1, Peer: "edited body",
		What: "one bit of a record",
		make: changeFile(func(f []byte, b *bench) []byte { return carfile.Flip(f, b.small.runCID) })},
	{Name: "leaf-bit", Code: provenance.CodeBlockHash, Class: 2, What: "one bit of a payload",
		make: changeFile(func(f []byte, b *bench) []byte {
			return carfile.Flip(f, resultAt(b.small, 2).Output.Leaf())
		})},
	{Name: "header-bit", Code: provenance.CodeCARHeader, Class: 3, What: "one bit of the file's header",
		make: changeFile(func(f []byte, _ *bench) []byte { f[3] ^= 1; return f })},
	{Name: "length-long", Code: provenance.CodeCARVarint, Class: 4,
		What: "a section's length spelt with a byte more than it needs",
		make: changeFile(func(f []byte, _ *bench) []byte {
			from, _ := carfile.SectionAt(f, 1)
			_, k := binary.Uvarint(f[from:])
			f[from+k-1] |= 0x80
			return slices.Insert(f, from+k, 0)
		})},
	{Name: "section-short", Code: provenance.CodeCARSection, What: "a section too short for a CID",
		make: changeFile(func(f []byte, _ *bench) []byte {
			from, _ := carfile.SectionAt(f, 1)
			return slices.Insert(f, from, 4, 1, 0x71, 0x12, 0x20)
		})},
	{Name: "truncated", Code: provenance.CodeCARTruncated, Class: 5, Peer: "truncate",
		What: "the file ends inside a section",
		make: changeFile(func(f []byte, _ *bench) []byte { return f[:len(f)-10] })},
	{Name: "truncated-at-block", Code: provenance.CodeLinksMissing, Class: 6,
		What: "the file ends after a section, and a record is missing",
		make: func(b *bench) ([]byte, error) { return carfile.Write(b.small.blocks[:len(b.small.blocks)-1]), nil }},
	{Name: "dropped-all", Code: provenance.CodeLinksMissing, Peer: "drop all",
		What: "every step is gone from the file",
		make: func(b *bench) ([]byte, error) {
			var left []provenance.Block
			for _, x := range b.small.blocks {
				if !bytes.Contains(x.Data[:min(len(x.Data), 20)], []byte("step/1")) {
					left = append(left, x)
				}
			}
			return carfile.Write(left), nil
		}},
	{Name: "erased", Code: provenance.CodeCARHeader, Peer: "erase", What: "the file is empty",
		make: func(*bench) ([]byte, error) { return []byte{}, nil }},
	{Name: "junk", Code: provenance.CodeCARJunk, Class: 7, What: "bytes after the last section",
		make: changeFile(func(f []byte, _ *bench) []byte { return append(f, "\x00junk"...) })},
	{Name: "padded", Code: provenance.CodeCARPadding, Class: 7,
		What: "zero bytes after the last section, and nothing else",
		make: changeFile(func(f []byte, _ *bench) []byte { return append(f, make([]byte, 512)...) })},
	{Name: "joined", Code: provenance.CodeCARJoined, Class: 7, What: "two files, one after the other",
		make: changeFile(func(f []byte, b *bench) []byte { return append(f, b.wholeFile...) })},
	{Name: "packed", Code: provenance.CodeCARPacked, Class: 7, What: "the beginning of a gzip file",
		make: changeFile(func(f []byte, _ *bench) []byte { return append([]byte("\x1f\x8b\x08\x00"), f...) })},
}

// brokenBeside are files of which what lies beside the history that is asked for is changed.
var brokenBeside = []vector{
	{Name: "caller-paths", Code: provenance.CodeSchemaType, Class: 39,
		What: "in the place of the caller's history 40 blocks with 2^40 paths, which are no records",
		make: changeSafely(ladderOfBlocks, func(*history) {})},
	{Name: "caller-dropped", Code: provenance.CodeHistorySeq, Keys: "-", What: "a step of the caller's history left out",
		make: calledBy(func(h *history) { h.steps = slices.Delete(h.steps, 4, 5) })},
	{Name: "caller-unasked", Code: provenance.CodeHistoryAsk, Keys: "-", What: "the caller's history without its request",
		make: calledBy(func(h *history) { removeStep(h, 0) })},
	{Name: "child-missing", Code: provenance.CodeLinksMissing, Keys: "-",
		What: "a step of the sub-agent's history that is not there, for a reader without keys",
		make: leaveOut(makeFamily(false, func(*history) {}), func(r provenance.Record) bool {
			s, ok := r.(*provenance.Step)
			return ok && s.Seq == 2 && s.Run != must(playWorld(bossWorld())).runCID
		})},
	{Name: "child-answered-twice", Code: provenance.CodeHistoryTwice, Keys: "-",
		What: "an effect of the sub-agent's history that is answered twice, for a reader without keys",
		make: makeFamily(false, func(h *history) {
			c := h.child
			again := *c.steps[2]
			c.steps = slices.Insert(c.steps, 3, &again)
			renumberSteps(c, 4, 1)
		})},
	{Name: "child-head-edited", Code: provenance.CodeHeadSignature, Keys: "-",
		What: "the head of the sub-agent's run says another time than the operator signed",
		make: makeFamily(false, func(h *history) { h.child.crowned = func(x *provenance.Head) { x.At += 1000 } })},
	{Name: "child-commit", Code: provenance.CodeLeafCommit, Keys: "-",
		What: "the sub-agent's answer is committed to as another text than its reply, both one leaf",
		make: makeFamily(false, func(h *history) {
			h.child.patch = func(seq int, data []byte) []byte {
				if seq != 3 {
					return data
				}
				at := bytes.LastIndex(data, []byte("\x62pc\x58\x20")) + 5
				data = bytes.Clone(data)
				data[at] ^= 1
				return data
			}
		})},
	{Name: "root-missing", Code: provenance.CodeCARRootMissing, Class: 8,
		What: "the block that the root names is not there",
		make: changeFile(func(f []byte, _ *bench) []byte {
			from, to := carfile.SectionAt(f, 0)
			return slices.Delete(f, from, to)
		})},
	{Name: "two-roots", Code: provenance.CodeCARRoots, Class: 9, What: "a file with two roots",
		make: changeFile(func(f []byte, b *bench) []byte {
			link := "\xd8\x2a\x58\x25\x00" + b.small.blocks[0].CID.KeyString()
			return slices.Concat([]byte("\x63\xa2\x65roots\x82"+link+link+"\x67version\x01"), f[59:])
		})},
	{Name: "block-twice", Code: provenance.CodeCARDuplicate, What: "a block that is there twice",
		make: changeFile(func(f []byte, _ *bench) []byte {
			from, to := carfile.SectionAt(f, 2)
			return append(f, f[from:to]...)
		})},
	{Name: "block-twice-other", Code: provenance.CodeBlockHash, Class: 10,
		What: "a block that is there again with other bytes",
		make: changeFile(func(f []byte, _ *bench) []byte {
			from, to := carfile.SectionAt(f, 2)
			f = append(f, f[from:to]...)
			f[len(f)-1] ^= 1
			return f
		})},
	{Name: "unreachable", Code: provenance.CodeLinksUnreachable, Class: 11,
		What: "a block to which nothing links",
		make: changeFile(func(f []byte, _ *bench) []byte {
			return append(f, carfile.Section(provenance.NewRaw([]byte("stowaway")))...)
		})},
	{Name: "car-v2", Code: provenance.CodeCARVersion, Class: 12,
		What: "a CAR of version 2, whose index may point elsewhere",
		make: changeFile(func(f []byte, _ *bench) []byte {
			return slices.Concat([]byte("\x0a\xa1\x67version\x02"), make([]byte, 40), f)
		})},
	{Name: "blocks-exchanged", Code: provenance.CodeBlockHash, Class: 13,
		What: "two blocks under each other's CID, for a reader that trusts the file",
		make: func(b *bench) ([]byte, error) {
			blocks := slices.Clone(b.small.blocks)
			blocks[3].Data, blocks[4].Data = blocks[4].Data, blocks[3].Data
			return carfile.Write(blocks), nil
		}},
}

// brokenLinks have a false CID in a step whose own CID, and all that hangs on it, is right.
var brokenLinks = []vector{
	{Name: "cid-v0", Code: provenance.CodeLinkV0, Class: 14, What: "a link is a CIDv0",
		make: respellStep(respellPrev("\xd8\x2a\x58\x23\x00\x12\x20" + digest))},
	{Name: "cid-identity", Code: provenance.CodeLinkIdentity, Class: 15, What: "a link that holds its data",
		make: respellStep(respellPrev("\xd8\x2a\x58\x25\x00\x01\x71\x00\x20" + digest))},
	{Name: "cid-codec", Code: provenance.CodeLinksKind, Class: 16, What: "a link to the same digest as raw bytes",
		make: changeSafely(smallWorld, func(h *history) {
			h.patch = func(seq int, b []byte) []byte {
				if seq == 3 {
					return respellPrev("\xd8\x2a\x58\x25\x00\x01\x55\x12\x20" + digest)(b)
				}
				return b
			}
		})},
	{Name: "cid-digest", Code: provenance.CodeLinkDigest, Class: 17, What: "a link with half a digest",
		make: respellStep(respellPrev("\xd8\x2a\x55\x00\x01\x71\x12\x10" + strings.Repeat("\x01", 16)))},
	{Name: "cid-sha1", Code: provenance.CodeLinkHash, Class: 18, What: "a link by SHA-1",
		make: respellStep(respellPrev("\xd8\x2a\x58\x19\x00\x01\x71\x11\x14" + strings.Repeat("\x01", 20)))},
	{Name: "cid-varint", Code: provenance.CodeLinkVarint, Class: 19,
		What: "a link with a number in a longer form than needed",
		make: respellStep(respellPrev("\xd8\x2a\x58\x26\x00\x01\xf1\x00\x12\x20" + digest))},
	{Name: "cid-case", Code: provenance.CodeKeysForm, Class: 20,
		What: "a key file that spells a CID in another base",
		make: func(b *bench) ([]byte, error) { return b.smallFile, nil },
		keys: func(b *bench) []byte {
			f := keyFile(b.small.keys)
			leaf := resultAt(b.small, 2).Output.Leaf()
			return bytes.Replace(f, []byte(leaf.String()), []byte(strings.ToUpper(leaf.String())), 1)
		}},
	{Name: "cid-trailing", Code: provenance.CodeLinkTrailing, Class: 21, What: "a byte after a link's digest",
		make: respellStep(respellPrev("\xd8\x2a\x58\x26\x00\x01\x71\x12\x20" + digest + "\x00"))},
	{Name: "link-tag", Code: provenance.CodeCodecTag, Class: 22, What: "a link under tag 43",
		make: respellStep(respellPrev("\xd8\x2b\x58\x25\x00\x01\x71\x12\x20" + digest))},
	{Name: "link-prefix", Code: provenance.CodeLinkPrefix, What: "a link without its zero byte",
		make: respellStep(respellPrev("\xd8\x2a\x58\x24\x01\x71\x12\x20" + digest))},
	{Name: "link-garbage", Code: provenance.CodeLinkForm, Peer: "garbage link", What: "a link that is no CID",
		make: respellStep(respellPrev("\xd8\x2a\x58\x25\x00" + strings.Repeat("\xff", 36)))},
	{Name: "link-codec", Code: provenance.CodeLinkCodec, What: "a link to a dag-pb node",
		make: respellStep(respellPrev("\xd8\x2a\x58\x25\x00\x01\x70\x12\x20" + digest))},
	{Name: "link-version", Code: provenance.CodeLinkVersion, What: "a link of an unknown version",
		make: respellStep(respellPrev("\xd8\x2a\x58\x25\x00\x02\x71\x12\x20" + digest))},
	{Name: "link-kind", Code: provenance.CodeLinksKind,
		What: "the head links to the run where its step should be",
		make: changeSafely(smallWorld, func(h *history) {
			h.behead = func(d *provenance.Head) { d.Step = d.Run }
		})},
	{Name: "index-short", Code: provenance.CodeLinksIndex,
		What: "the head names an index without the last step, so that whoever fetches by it misses the end",
		make: changeSafely(wholeWorld, func(h *history) { h.addIndex(len(h.steps) - 1) })},
	{Name: "index-absent", Code: provenance.CodeLinksMissing, What: "the head names an index that is not there",
		make: changeSafely(wholeWorld, func(h *history) {
			h.addIndex(len(h.steps))
			behead := h.behead
			h.behead = func(d *provenance.Head) { behead(d); clear(h.extra) }
		})},
}

// brokenSpelling have a false spelling or a false field in such a step.
var brokenSpelling = []vector{
	{Name: "key-twice", Code: provenance.CodeCodecDuplicate, Class: 23, What: "a map has one key twice",
		make: respellStep(func(b []byte) []byte {
			b[0]++
			return replaceFirst("\x62at\x1b", "\x62at\x00\x62at\x1b")(b)
		})},
	{Name: "key-order", Code: provenance.CodeCodecUnsorted, Class: 24, What: "keys of a map out of order",
		make: respellStep(func(b []byte) []byte { return slices.Concat(b[:1], b[10:22], b[1:10], b[22:]) })},
	{Name: "int-long", Code: provenance.CodeCodecMinimal, Class: 25,
		What: "a number in a longer form than needed",
		make: respellStep(replaceFirst("\x63seq\x03", "\x63seq\x18\x03"))},
	{Name: "indefinite", Code: provenance.CodeCodecIndefinite, Class: 26, What: "a map of indefinite length",
		make: respellStep(func(b []byte) []byte { b[0] = 0xbf; return append(b, 0xff) })},
	{Name: "float", Code: provenance.CodeCodecFloat, Class: 27, What: "a floating point number",
		make: respellStep(respellTime("\xfb\x42\x78\x00\x00\x00\x00\x00\x00"))},
	{Name: "undefined", Code: provenance.CodeCodecSimple, Class: 28, What: "the value undefined",
		make: respellStep(respellTime("\xf7"))},
	{Name: "tag", Code: provenance.CodeCodecTag, Class: 29, What: "a time under tag 1",
		make: respellStep(respellTime("\xc1\x00"))},
	{Name: "utf8", Code: provenance.CodeCodecUTF8, Class: 30, What: "a text that is not UTF-8",
		make: respellStep(replaceFirst("step/1", "\xff\xfep/1"))},
	{Name: "look-alike", Code: provenance.CodeSchemaKey, Class: 31, What: "a key with a Cyrillic letter",
		make: respellStep(replaceFirst("\x65facts", "\x66f\u0430cts"))},
	{Name: "unknown-key", Code: provenance.CodeSchemaKey, Class: 32, What: "a key that the record does not have",
		make: respellStep(replaceFirst("\x65facts", "\x65factz"))},
	{Name: "unknown-version", Code: provenance.CodeSchemaVersion, Class: 32, What: "a version that is not known",
		make: respellStep(replaceFirst("step/1", "step/2"))},
	{Name: "type", Code: provenance.CodeSchemaType, What: "a text where a number should be",
		make: respellStep(respellTime("\x61x"))},
	{Name: "key-missing", Code: provenance.CodeSchemaMissing, What: "a later step that names none before it",
		make: respellStep(func(b []byte) []byte {
			i := bytes.Index(b, []byte("\x64prev\xd8"))
			b[0]--
			return slices.Delete(b, i, i+46)
		})},
	{Name: "evidence-range", Code: provenance.CodeSchemaRange, What: "a level of evidence that there is not",
		make: respellStep(replaceFirst("\x68evidence\x00", "\x68evidence\x05"))},
	{Name: "budgets-order", Code: provenance.CodeSchemaOrder, What: "budgets out of order",
		make: changeSafely(smallWorld, func(h *history) {
			h.patch = func(seq int, b []byte) []byte {
				if seq == 0 {
					return replaceFirst("\x6bgrant/calls", "\x6bzrant/calls")(b)
				}
				return b
			}
		})},
	{Name: "int-range", Code: provenance.CodeCodecInt, Class: 33, What: "a number that does not fit 63 bits",
		make: respellStep(respellTime("\x1b" + strings.Repeat("\xff", 8)))},
	{Name: "trailing", Code: provenance.CodeCodecTrailing, Class: 34, What: "a byte after the record",
		make: respellStep(func(b []byte) []byte { return append(b, 0) })},
	{Name: "null", Code: provenance.CodeCodecNull, Class: 35, What: "null in place of what is absent",
		make: respellStep(respellTime("\xf6"))},
	{Name: "key-bytes", Code: provenance.CodeCodecKey, What: "a map key that is not text",
		make: respellStep(replaceFirst("\x62at\x1b", "\x42at\x1b"))},
	{Name: "reserved", Code: provenance.CodeCodecReserved, What: "a head that CBOR leaves undefined",
		make: respellStep(respellTime("\x1c"))},
}

// bombs are files that are to use up whoever reads them.
var bombs = []vector{
	{Name: "block-large", Code: provenance.CodeBlockSize, Class: 36,
		What: "a section that claims a block above the limit",
		make: func(b *bench) ([]byte, error) {
			return slices.Concat(b.smallFile, carfile.Prefix(36+provenance.MaxBlock+1),
				provenance.NewRaw(nil).CID.Bytes(), []byte("...")), nil
		}},
	{Name: "deep", Code: provenance.CodeCodecDepth, Class: 37, What: "forty lists inside each other",
		make: respellStep(respellTime(strings.Repeat("\x81", 40) + "\x00"))},
	{Name: "lists", Code: provenance.CodeSchemaType, Class: 38, What: "a list of 30,000 empty lists",
		make: respellStep(respellTime("\x99\x75\x30" + strings.Repeat("\x80", 30_000)))},
	{Name: "length-huge", Code: provenance.CodeCodecTruncated, Class: 41, What: "a length of 2^40 bytes",
		make: respellStep(respellTime("\x5b\x00\x00\x01\x00\x00\x00\x00\x00"))},
	{Name: "leaf-padding", Code: provenance.CodeLeafOpen, Class: 42,
		What: "a leaf with more padding than its text asks for",
		make: overpadLeaf},

	{Name: "unixfs-size", Code: provenance.CodeLinkCodec, Class: 43,
		What: "a payload that is a UnixFS file with a false size: the format has leaves of its own, and no node " +
			"of UnixFS is one",
		make: putUnixFS("\x0a\x0a\x08\x02\x12\x02hi\x18\xff\xff\x7f")},
	{Name: "unixfs-path", Code: provenance.CodeLinkCodec, Class: 44,
		What: "a payload that is a UnixFS directory with the name ../../etc/passwd",
		make: putUnixFS("\x12\x18\x12\x10../../etc/passwd\x18\x00\x0a\x02\x08\x01")},
}

// falseHistory are histories that are linked again and signed again by the operator.
var falseHistory = []vector{
	{Name: "dropped", Code: provenance.CodeHistorySeq, Class: 45, Peer: "drop some",
		What: "a step is left out, and the next one linked to the one before",
		make: changeSafely(wholeWorld, func(h *history) { h.steps = slices.Delete(h.steps, 7, 8) })},
	{Name: "dropped-renumbered", Code: provenance.CodeHistoryKind, Class: 45,
		What: "a model's reply is left out, and all later steps are renumbered",
		make: changeSafely(smallWorld, func(h *history) { removeStep(h, 1) })},
	{Name: "first-evicted", Code: provenance.CodeHistoryAsk, Peer: "evict the head",
		What: "the request itself is left out",
		make: changeSafely(smallWorld, func(h *history) {
			h.steps = h.steps[1:]
			renumberSteps(h, 0, -1)
			h.steps[0].Event = &provenance.Lapse{Why: provenance.LapseTimeout} // its question is gone
		})},
	{Name: "swapped", Code: provenance.CodeHistorySeq, Class: 46, Peer: "reorder",
		What: "two steps in each other's place",
		make: changeSafely(smallWorld, func(h *history) { h.steps[1], h.steps[2] = h.steps[2], h.steps[1] })},
	{Name: "inserted", Code: provenance.CodeHistoryTwice, Class: 47, Peer: "replay",
		What: "a tool's result once more",
		make: changeSafely(smallWorld, func(h *history) {
			s := *h.steps[2]
			e := *resultAt(h, 2)
			s.Event, s.Does = &e, []provenance.Effect{}
			insertStep(h, 3, &s)
			replyAt(h, 4).Of = provenance.Ref{Seq: 2}
		})},
	{Name: "seq-twice", Code: provenance.CodeHistorySeq, Class: 48, What: "two steps of one number",
		make: changeSafely(smallWorld, func(h *history) { h.steps[2].Seq = 1 })},
	{Name: "tail-cut", Verdict: verified, Class: 49, Peer: "cut tail",
		What: "the last steps are left out and an older head is given: only an outside head shows it; " +
			"completeness is unestablished",
		make: changeSafely(wholeWorld, func(h *history) { h.steps = h.steps[:8] })},
	{Name: "other-session", Code: audit.CodeGrantRequest, Class: 50,
		What: "the run under another session of the same wallet and key",
		make: changeHistory(smallWorld, func(h *history) error {
			h.keepAsk = true
			return h.signGrantAgain(func(o *auth.Offer) { o.Nonce = "another000000000" })
		})},
	{Name: "spliced", Code: provenance.CodeHistoryRun, Class: 51, What: "a step of another run",
		make: changeSafely(smallWorld, func(h *history) {
			other := smallWorld()
			other.nonce = 2
			h.foreign = map[int]provenance.Link{2: must(playWorld(other)).runCID}
		})},
	{Name: "fork", Code: provenance.CodeLinksUnreachable, Class: 52, What: "two steps after one step",
		make: changeHistory(smallWorld, func(h *history) error {
			s := *h.steps[3]
			s.At++
			b, err := provenance.Encode(&s)
			h.extra[b.CID] = b.Data
			return err
		})},
	{Name: "clock-back", Code: provenance.CodeHistoryClock, Class: 53,
		What: "a step that is older than the one before it",
		make: changeSafely(smallWorld, func(h *history) { h.steps[2].At -= 1500 })},
	{Name: "outcome-first", Code: provenance.CodeHistoryOf, Class: 53,
		What: "a result of a call that is made later",
		make: changeSafely(smallWorld, func(h *history) { resultAt(h, 2).Of.Seq = 3 })},
	{Name: "outcome-missing", Code: provenance.CodeHistoryUnanswered, Class: 54,
		What: "closed as answered, with a call of which nothing is said",
		make: changeSafely(smallWorld, func(h *history) {
			h.steps[2].Does = append(h.steps[2].Does, h.steps[1].Does[0])
		})},
	{Name: "totals", Code: audit.CodeTotals, Class: 55, What: "the close says that the models cost less",
		make: changeSafely(smallWorld, func(h *history) { h.steps[3].Does[1].(*provenance.Close).Totals.Cost-- })},
	{Name: "erasure-foreign", Code: provenance.CodeLeafErasure,
		What: "the head names the erasure of a leaf that the history does not have",
		make: changeSafely(smallWorld, func(h *history) {
			e, err := provenance.Encode(&provenance.Erasure{At: h.head.At,
				Leaves: []provenance.Link{provenance.NewRaw([]byte("another's")).CID}})
			if err != nil {
				panic(err)
			}
			h.extra = map[provenance.Link][]byte{e.CID: e.Data}
			h.behead = func(d *provenance.Head) { d.Erased = []provenance.Link{e.CID} }
		})},
	{Name: "head-place", Code: provenance.CodeHistoryHead, What: "the head names another place than its step has",
		make: changeSafely(smallWorld, func(h *history) { h.behead = func(d *provenance.Head) { d.Seq++ } })},
	{Name: "outcome-kind", Code: provenance.CodeHistoryKind, What: "a tool call answered by a wallet",
		make: changeSafely(smallWorld, func(h *history) {
			h.steps[2].Event = &provenance.Verdict{Of: provenance.Ref{Seq: 1}, Refused: "no"}
		})},
	{Name: "call-unasked", Code: provenance.CodeHistoryCall, What: "a tool call that no model asked for",
		make: changeSafely(smallWorld, func(h *history) { h.steps[1].Does[0].(*provenance.Call).Of.Index = 3 })},
	{Name: "after-close", Code: provenance.CodeHistoryClose, What: "steps after the close",
		make: changeSafely(smallWorld, func(h *history) {
			h.steps[2].Does = append(h.steps[2].Does, &provenance.Close{Reason: provenance.CloseAnswered})
		})},
}

// falseMeaning are histories of which every byte, link and signature of the operator is right.
var falseMeaning = []vector{
	{Name: "model-other", Code: audit.CodeDecisionEvent, Class: 56,
		What: "a reply is said to be of another model than the one that the runtime names",
		make: changeSafely(smallWorld, func(h *history) { replyAt(h, 3).Model.Asked = "script/9" })},
	{Name: "model-cost", Code: audit.CodeDecisionEvent, What: "a model call that cost less than its price",
		make: changeSafely(smallWorld, func(h *history) { replyAt(h, 3).Model.Cost-- })},
	{Name: "fallback-as-first", Code: audit.CodeDecisionRoute, Class: 57,
		What: "the second model was taken although the first was up",
		make: changeWorld(smallWorld, func(w *world) { w.decideRoute = "false" })},
	{Name: "honest-fleet", Verdict: verified, What: "a run whose route asks how quickly the models have answered of late",
		make: changeWorld(fleetWorld, func(*world) {})},
	{Name: "fleet-fact", Code: audit.CodeDecisionFleet, Class: 58,
		What: "the first model is said to be quick, and the second was taken since it was slow",
		make: changeSafely(fleetWorld, func(h *history) { f := &h.steps[0].Facts.Fleet[0]; f.P50, f.P95 = 1, 1 })},
	{Name: "fleet-left-out", Code: audit.CodeDecisionFleet, Class: 58,
		What: "what the route asks of a model is left out of the facts",
		make: changeSafely(fleetWorld, func(h *history) { h.steps[0].Facts.Fleet = h.steps[0].Facts.Fleet[1:] })},
	{Name: "route-rule", Code: audit.CodeDecisionRoute, Class: 57,
		What: "the model is said to have been chosen by another rule than the one that led to it",
		make: changeSafely(fleetWorld, func(h *history) {
			h.steps[0].Does[0].(*provenance.AskModel).Route.Rule = "first"
		})},
	{Name: "rules-swapped", Code: audit.CodeGrantRules, Class: 58,
		What: "another policy set than the one that the wallet signed for",
		make: changeSafely(smallWorld, func(h *history) { h.rules.Source += "# and more\n" })},
	{Name: "honest-dapp", Verdict: verified, What: "a run that a dApp's page asked for, which has rules of its own",
		make: changeWorld(pageWorld, func(*world) {})},
	{Name: "dapp-dropped", Code: audit.CodeGrantRules, Class: 58,
		What: "the dApp's rules, which the wallet signed for, are left out",
		make: changeSafely(pageWorld, func(h *history) { h.dapp = nil })},
	{Name: "dapp-swapped", Code: audit.CodeGrantRules, Class: 58,
		What: "other rules of the dApp than those that the wallet signed for",
		make: changeSafely(pageWorld, func(h *history) { h.dapp.Source += "# and more\n" })},
	{Name: "dapp-over-others", Code: audit.CodeGrantRules, Class: 58,
		What: "the dApp's rules stand, and the operator's above them are others",
		make: changeSafely(pageWorld, func(h *history) { h.rules.Source += "# and more\n" })},
	{Name: "dapp-added", Code: audit.CodeGrantRules, Class: 58,
		What: "rules of a dApp that the wallet did not sign for",
		make: changeSafely(smallWorld, func(h *history) {
			h.dapp = &provenance.PolicySet{Name: "page", Source: pageWorld().dapp, Origin: pageWorld().origin}
		})},
	{Name: "dapp-of-another", Code: audit.CodeGrantOrigin, Class: 58,
		What: "the wallet signed on one page, for the rules of another",
		make: changeWorld(pageWorld, func(w *world) { w.origin = "https://other.example.com" })},
	{Name: "dapp-ignored", Code: audit.CodeDecisionWhy, Class: 59,
		What: "a call that the dApp's rules forbid is made: they are recorded, and were not asked",
		make: changeWorld(pageWorld, func(w *world) {
			w.decideDapp = true
			w.dapp = strings.NewReplacer("budgets:\n", "", "  - {id: calls, cap: calls(3), scope: wallet}\n", "",
				", reserve: {budget: calls}", "").Replace(w.dapp)
			w.replies[0] = replyCall("echo.say", `{"text":"hi!"}`)
		})},
	{Name: "dapp-under-dapp", Code: provenance.CodeLinksKind, Class: 58,
		What: "a dApp's rules stand where the operator's should",
		make: changeSafely(pageWorld, func(h *history) {
			h.rules.Under, h.rules.Origin = must(cidOf(&provenance.PolicySet{Name: "vectors", Source: rules})),
				"https://app.example.com"
		})},
	{Name: "agent-swapped", Code: audit.CodeGrantAgent,
		What: "another version of the agent than the one that the wallet signed for",
		make: changeSafely(smallWorld, func(h *history) { h.agent.Instructions = "Pay whoever asks." })},
	{Name: "rules-broken", Code: audit.CodeDecisionRules, What: "a policy set that does not compile",
		make: changeWorld(smallWorld, func(w *world) {
			w.rules, w.decideRules = "schema: writ/policies/9\n", rules
		})},
	{Name: "facts-edited", Code: audit.CodeDecisionFacts, Class: 58,
		What: "the ledgers forget what the run itself has spent, so that its spends fit",
		make: changeSafely(wholeWorld, func(h *history) {
			h.steps[9].Facts.Budgets = h.steps[0].Facts.Budgets
		})},
	{Name: "facts-cap", Code: audit.CodeDecisionFacts, Class: 58,
		What: "a ledger with another cap than the rules give it",
		make: changeSafely(smallWorld, func(h *history) {
			b := &h.steps[0].Facts.Budgets[0]
			b.Cap = money.Of(b.Cap.Asset(), 1_000_000)
		})},
	{Name: "facts-asked", Code: audit.CodeDecisionFacts,
		What: "approvals that nobody gave have ended the count of what went without asking",
		make: changeSafely(wholeWorld, func(h *history) {
			for i := range h.steps[0].Facts.Budgets {
				if b := &h.steps[0].Facts.Budgets[i]; b.ID == "grant/unasked_usdc+asked" {
					b.Spent = usd(1)[0]
				}
			}
		})},
	{Name: "facts-dropped", Code: audit.CodeDecisionFacts, Class: 58,
		What: "the first step leaves out a ledger that the rules name",
		make: changeSafely(smallWorld, func(h *history) { f := &h.steps[0].Facts; f.Budgets = f.Budgets[1:] })},
	{Name: "facts-foreign", Code: audit.CodeDecisionFacts,
		What: "a step shows a ledger that no rule names",
		make: changeSafely(smallWorld, func(h *history) {
			b := h.steps[0].Facts.Budgets[0]
			b.ID = "operator/zzz"
			h.steps[1].Facts.Budgets = []provenance.Budget{b}
		})},
	{Name: "facts-again", Code: audit.CodeDecisionFacts,
		What: "a step shows a ledger that is as the steps before left it: one run, two records",
		make: changeSafely(smallWorld, func(h *history) {
			h.steps[1].Facts.Budgets = h.steps[0].Facts.Budgets[1:2]
		})},
	{Name: "ledger-over", Code: audit.CodeTotalsCap, What: "a ledger above its cap",
		make: changeSafely(smallWorld, func(h *history) {
			b := h.steps[0].Facts.Budgets[0]
			b.Spent, b.Reserved = b.Cap, money.Of(b.Cap.Asset(), 1)
			h.steps[3].Facts.Budgets = []provenance.Budget{b}
		})},
	{Name: "models-twice", Code: audit.CodeDecisionRules,
		What: "a runtime with two models of one name, of which the records do not say which one answered",
		make: changeSafely(smallWorld, func(h *history) {
			h.runtime.Models = append(h.runtime.Models, h.runtime.Models[0])
		})},
	{Name: "decision-flipped", Code: audit.CodeDecision, Class: 59,
		What: "a spend above the limit of a call is permitted and made",
		make: changeHistory(func() *world {
			w := wholeWorld()
			w.replies[2] = replyCall("token.send", `{"amount":"15","to":"mallory","token":"USDC"}`)
			w.decideOffer = func(o *auth.Offer) { o.Caveats.MaxPerCall, o.Caveats.ApproveAbove = usd(20), usd(20) }
			return w
		}, func(h *history) error { h.capUnasked(usd(1)[0]); return nil })},
	{Name: "approval-skipped", Code: audit.CodeDecision, Class: 59,
		What: "a spend that needs the wallet's approval is made without",
		make: changeHistory(func() *world {
			w := wholeWorld()
			w.decideOffer = func(o *auth.Offer) { o.Caveats.ApproveAbove = usd(10) }
			return w
		}, func(h *history) error { h.capUnasked(usd(1)[0]); return nil })},
	{Name: "why-edited", Code: audit.CodeDecisionWhy, What: "a denial with another reason than the rules give",
		make: changeSafely(wholeWorld, func(h *history) {
			d := &h.steps[8].Does[0].(*provenance.Deny).Decisions[1]
			d.Why = provenance.NewPayload([]byte(`{"message":"the bank was closed"}`))
		})},
	{Name: "label-edited", Code: audit.CodeDecisionLabel,
		What: "a run that has read untrusted content says that it has not",
		make: changeSafely(wholeWorld, func(h *history) {
			for _, s := range h.steps {
				if s.Label != nil {
					s.Label = provenance.NewPayload([]byte(`{"integrity":"tool","secrecy":"session"}`))
				}
			}
		})},
	{Name: "point-dropped", Code: audit.CodeDecision,
		What: "the decision on the answer is missing from its step",
		make: changeSafely(smallWorld, func(h *history) { h.steps[3].Decisions = nil })},
	{Name: "published", Code: audit.CodeDecisionPublish,
		What: "payloads are public although no rule says so",
		make: changeWorld(smallWorld, func(w *world) { w.public = true })},
	{Name: "reserve-edited", Code: audit.CodeDecisionBudget,
		What: "a permitted spend reserves less than it moves",
		make: changeSafely(wholeWorld, func(h *history) {
			for i, d := range h.steps[5].Does[0].(*provenance.Call).Decisions {
				if len(d.Reserve) > 0 && d.Point == "spend" {
					h.steps[5].Does[0].(*provenance.Call).Decisions[i].Reserve[0].Amount = money.Of(usdc, 1)
				}
			}
		})},
	{Name: "answer-rewritten", Code: audit.CodeDecisionEffect, Peer: "rewrite",
		What: "what the user was told is rewritten, and everything linked and signed again",
		make: changeSafely(smallWorld, func(h *history) {
			h.steps[3].Does[0].(*provenance.Say).Text = provenance.NewPayload([]byte("all is well"))
		})},
	{Name: "close-forged", Code: audit.CodeDecisionEffect,
		What: "a run that was answered is closed as denied, so that nothing seems to be owed",
		make: changeSafely(smallWorld, func(h *history) { h.lastClose().Reason = provenance.CloseDenied })},
	{Name: "close-code", Code: audit.CodeDecisionEffect,
		What: "a run that failed for want of a model is closed with the code of another failure",
		make: changeSafely(func() *world { w := smallWorld(); w.fail = 100; return w }, func(h *history) {
			h.lastClose().Code = string(fault.ModelRate)
		})},
	{Name: "prompt", Code: audit.CodeContextPrompt, What: "a prompt with another digest than the steps lead to",
		make: changeSafely(smallWorld, func(h *history) {
			h.steps[2].Does[0].(*provenance.AskModel).Prompt[0] ^= 1
		})},
	{Name: "tool-outside", Code: audit.CodeCoverTool, Class: 60,
		What: "a call of a tool that the wallet did not allow",
		make: changeWorld(wholeWorld, func(w *world) {
			w.offer.Tools = []string{"echo.say"}
			w.decideOffer = func(o *auth.Offer) { o.Tools = []string{"echo.say", "token.send"} }
		})},
	{Name: "after-expiry", Code: audit.CodeCoverTime, Class: 60, What: "a call after the permission's end",
		make: changeWorld(wholeWorld, func(w *world) {
			w.offer.Expires = start.Add(2 * time.Second)
			w.decideOffer = func(o *auth.Offer) { o.Expires = start.Add(time.Hour) }
		})},
	{Name: "chain-outside", Code: audit.CodeCoverChain, Class: 60,
		What: "a transaction on a chain that the wallet did not allow",
		make: changeWorld(wholeWorld, func(w *world) {
			w.tools[1].Book = toolbox.Book(5)
			w.decideOffer = func(o *auth.Offer) { o.Caveats.Chains = []uint64{5, 1337} }
		})},
	{Name: "approval-other", Code: audit.CodeApprovalOther, Class: 61,
		What: "the wallet approved other arguments",
		make: changeApproval(ownWallet, func(a *auth.Approval) { a.Args[0] ^= 1 })},
	{Name: "approval-stranger", Code: audit.CodeApprovalSignature, Class: 61, What: "another wallet approved",
		make: changeApproval(func(h *history) *auth.Wallet { return h.stranger }, func(*auth.Approval) {})},
	{Name: "approval-late", Code: audit.CodeApprovalLate, Class: 61, What: "the approval came after its time",
		make: changeSafely(wholeWorld, func(h *history) { shiftTimes(h, 5, 20*time.Minute) })},
	{Name: "receipt-other", Code: audit.CodeTxReceipt, Class: 62,
		What: "the receipt of another transaction than the one that was signed",
		make: changeWorld(wholeWorld, func(w *world) { w.receipt = common.Hash{0xbb}.Hex() })},
	{Name: "receipt-figures", Code: audit.CodeTxMoved, Class: 62,
		What: "a receipt that says that 5 USDC arrived, where its balances show 4.75",
		make: changeWorld(wholeWorld, func(w *world) {
			w.mines = func(r *tools.Mined) {
				r.Changes[1].After = lessAQuarter(r.Changes[1])
			}
		})},
	{Name: "receipt-account", Code: audit.CodeTxMoved, Class: 62,
		What: "a receipt that shows what left another account than the one that signed",
		make: changeWorld(wholeWorld, func(w *world) {
			w.mines = func(r *tools.Mined) {
				mallory := toolbox.Book(1337).Names["mallory"].Hex()
				r.Account, r.Changes[0].Account = mallory, mallory
			}
		})},
	{Name: "payment-left-out", Code: audit.CodeTxPayment, Class: 62,
		What: "a call that pays by x402 and returned no payment",
		make: changeWorld(paidWorld(nil), func(*world) {})},
	{Name: "payment-again", Code: audit.CodeTxPayment, Class: 62,
		What: "a call that pays by x402 shows what was signed for another call",
		make: changeWorld(paidWorld(payAgain), func(*world) {})},
	{Name: "mandate-other", Code: audit.CodeTxMandate, Class: 62,
		What: "a payment from the wallet's account that redeems a stranger's delegation",
		make: changeWorld(mandateWorld(redeemStrangers), func(*world) {})},
	{Name: "mandate-recipient", Code: audit.CodeTxMandate, Class: 62,
		What: "the wallet's delegation is redeemed for somebody else than the call says",
		make: changeWorld(mandateWorld(redeemForBob), func(*world) {})},
	{Name: "mandate-direct", Code: audit.CodeTxMandate, Class: 62,
		What: "what was to be paid from the wallet's account by its delegation was signed as a transfer of the agent's",
		make: changeWorld(mandateWorld(payDirectly), func(*world) {})},
	{Name: "simulation-account", Code: audit.CodeTxSimulation, Class: 62,
		What: "the call was decided by the simulation of another account's transaction",
		make: changeWorld(wholeWorld, func(w *world) {
			w.foresees = func(f *tools.Foreseen) {
				mallory := toolbox.Book(1337).Names["mallory"].Hex()
				f.Account, f.Changes[0].Account = mallory, mallory
			}
		})},
	{Name: "replaced-cheap", Code: audit.CodeTxReplaced, Class: 62,
		What: "a transaction in the place of another that offers no more than it",
		make: changeWorld(replacedWorld(func(s *signing) bool {
			s.tx.GasTipCap, s.tx.GasFeeCap = big.NewInt(1e9), big.NewInt(3e9+1)
			return false
		}), func(*world) {})},
	{Name: "replaced-cancels", Code: audit.CodeTxReplaced, Class: 62,
		What: "a transaction that is said to cancel another, and pays somebody",
		make: changeWorld(replacedWorld(func(s *signing) bool {
			copy(s.tx.Data, transferOf(toolbox.Book(1337).Names["mallory"], usd(1)[0]))
			return true
		}), func(*world) {})},
	{Name: "overrun-hidden", Code: audit.CodeDecisionFacts, Class: 62,
		What: "a transaction took twice what its call said, and the ledger shows half of it",
		make: changeHistory(overrunWorld, func(h *history) error { return h.hideOverrun() })},
	{Name: "overrun-unsaid", Code: audit.CodeDecisionEffect, Class: 62,
		What: "a transaction took twice what its call said, and the answer does not say so",
		make: changeHistory(overrunWorld, func(h *history) error { return h.unsay() })},
	{Name: "tx-form", Code: audit.CodeTxForm, Class: 62,
		What: "bytes that are no signed transaction, with their hash",
		make: changeSigning(func(s *signing) {
			s.record = func(r *tools.Signed) {
				raw := must(hexutil.Decode(r.Raw))[1:]
				r.Raw, r.Hash = hexutil.Encode(raw), crypto.Keccak256Hash(raw).Hex()
			}
		})},
	{Name: "tx-left-out", Code: audit.CodeTxForm, Class: 62,
		What: "what the account signed before the session was revoked is left out of the record",
		make: changeSafely(func() *world { w := wholeWorld(); w.revoke = 6; return w }, func(h *history) {
			resultAt(h, 6).Output = nil
		})},
	{Name: "tx-hash", Code: audit.CodeTxHash, Class: 62,
		What: "the recorded hash, which the receipt has too, is that of another transaction",
		make: changeSigning(func(s *signing) {
			s.record = func(r *tools.Signed) { r.Hash = common.Hash{0xbb}.Hex() }
		})},
	{Name: "tx-sender", Code: audit.CodeTxSender, Class: 62,
		What: "another account signed than the one that is recorded",
		make: changeSigning(func(s *signing) {
			account := "eip155:1337:" + crypto.PubkeyToAddress(s.by.PublicKey).Hex()
			s.by = must(everyKey()).thief
			s.record = func(r *tools.Signed) { r.Account = account }
		})},
	{Name: "tx-chain", Code: audit.CodeTxChain, Class: 62, What: "signed for another chain than the call's",
		make: changeSigning(func(s *signing) { s.tx.ChainID = big.NewInt(1) })},
	{Name: "tx-nonce", Code: audit.CodeTxNonce, Class: 62, What: "signed with another nonce than the recorded one",
		make: changeSigning(func(s *signing) { s.record = func(r *tools.Signed) { r.Nonce = 7 } })},
	{Name: "tx-nonce-twice", Code: audit.CodeTxNonce, Class: 62,
		What: "two transactions with one nonce, of which the chain can take one",
		make: changeWorld(wholeWorld, func(w *world) {
			w.replies[2] = replyCall("token.send", `{"amount":"1","to":"bob","token":"USDC"}`)
			w.signs = func(s *signing) { s.tx.Nonce = 0 }
		})},
	{Name: "tx-contract", Code: audit.CodeTxContract, Class: 62,
		What: "the signed transaction moves another token than the call",
		make: changeSigning(func(s *signing) { s.tx.To = &common.Address{19: 1} })},
	{Name: "tx-calldata", Code: audit.CodeTxCalldata, Class: 62,
		What: "the signed transaction approves a spender in place of paying",
		make: changeSigning(func(s *signing) { copy(s.tx.Data, []byte{0x09, 0x5e, 0xa7, 0xb3}) })},
	{Name: "tx-recipient", Code: audit.CodeTxRecipient, Class: 62,
		What: "the signed transaction pays somebody else",
		make: changeSigning(func(s *signing) {
			copy(s.tx.Data, transferOf(toolbox.Book(1337).Names["mallory"], usd(5)[0]))
		})},
	{Name: "tx-amount", Code: audit.CodeTxAmount, Class: 62, What: "the signed transaction pays more than the call",
		make: changeSigning(func(s *signing) {
			copy(s.tx.Data, transferOf(toolbox.Book(1337).Names["bob"], usd(6)[0]))
		})},
	{Name: "tx-value", Code: audit.CodeTxValue, Class: 62, What: "the signed transaction sends ether besides",
		make: changeSigning(func(s *signing) { s.tx.Value = big.NewInt(1e18) })},
	{Name: "tx-unsent", Code: audit.CodeTxRecipient, Class: 62,
		What: "a transaction that pays somebody else was signed and not broadcast; whoever has it can do that",
		make: changeWorld(wholeWorld, func(w *world) {
			w.stop, w.revoke = 7, 6
			w.signs = func(s *signing) {
				copy(s.tx.Data, transferOf(toolbox.Book(1337).Names["mallory"], usd(5)[0]))
			}
		})},
	{Name: "second-text", Code: provenance.CodeLeafCommit, Class: 63,
		What: "a leaf that opens to another text than the record commits to",
		make: respellStep(func(b []byte) []byte { b[bytes.Index(b, []byte("\x62pc\x58\x20"))+7] ^= 1; return b })},
	{Name: "key-wrong", Code: provenance.CodeLeafOpen, Class: 63, What: "a key that does not open its leaf",
		make: func(b *bench) ([]byte, error) { return b.smallFile, nil },
		keys: func(b *bench) []byte {
			wrong := map[provenance.Link]provenance.LeafKey{}
			for c, k := range b.small.keys {
				if c == resultAt(b.small, 2).Output.Leaf() {
					k[0] ^= 1
				}
				wrong[c] = k
			}
			return keyFile(wrong)
		}},
}

// manyRecords are histories that name more than is kept in memory.
var manyRecords = []vector{
	{Name: "many-agents", Code: provenance.CodeLinksSize, What: "an agent that reaches 65 others by its tools",
		make: changeHistory(smallWorld, func(h *history) error { return h.addAgents(65) })},
	{Name: "many-revocations", Code: provenance.CodeHistoryBound, What: "a run that ends by 17 revocations",
		make: changeHistory(smallWorld, func(h *history) error { return h.addRevocations(17) })},
}

// contractWallets are histories of wallets whose word is what a chain said of it.
var contractWallets = []vector{
	{Name: "honest-contract", Verdict: gaps,
		What: "a contract wallet's permission, with the record of what its chain said; only the chain itself " +
			"proves it",
		make: changeContract(func(*history, *provenance.Verification) {})},
	{Name: "approval-unasked", Code: audit.CodeApprovalsVerification,
		What: "a contract wallet's approval that no chain was asked about",
		make: changeContractOf(wholeWorld, func(h *history, _ *provenance.Verification) {
			verdictAt(h, 5).Approval.Method = auth.MethodEIP1271
		})},
	{Name: "contract-unasked", Code: audit.CodeGrantVerification, Class: 66,
		What: "a contract wallet's permission that no chain was asked about",
		make: changeContract(func(h *history, _ *provenance.Verification) { h.verification = nil })},
	{Name: "contract-chain", Code: audit.CodeGrantVerification, Class: 66,
		What: "another chain was asked than the wallet's",
		make: changeContract(func(_ *history, x *provenance.Verification) { x.Chain = 1 })},
	{Name: "contract-method", Code: audit.CodeGrantVerification, Class: 66,
		What: "what a chain said of a wallet that was not deployed, for one that was",
		make: changeContract(func(_ *history, x *provenance.Verification) { x.Method = "eip6492" })},
	{Name: "contract-late", Code: audit.CodeGrantVerification, Class: 66,
		What: "the chain was asked after the run had begun",
		make: changeContract(func(_ *history, x *provenance.Verification) {
			x.At = start.Add(time.Hour).UnixMilli()
		})},
}

// falseDelegations are histories in which the operator has made the delegation, and all that hangs on it.
var falseDelegations = []vector{
	{Name: "delegation-issuer", Code: audit.CodeDelegationIssuer, What: "a delegation in the name of another key",
		make: makeFamily(true, func(h *history) { h.child.delegation.Issuer = h.other.Public().String() })},
	{Name: "delegation-signature", Code: audit.CodeDelegationSignature, Class: 64,
		What: "a delegation that was changed after it was signed",
		make: makeFamily(true, func(h *history) { h.child.keepSig = true; h.child.delegation.Nonce[0] ^= 1 })},
	{Name: "delegation-form", Code: audit.CodeDelegationForm, What: "a delegation whose limits are none",
		make: makeFamily(true, func(h *history) { h.child.delegation.Caveats = "{}" })},
	{Name: "delegation-late", Code: audit.CodeDelegationLater, Class: 60,
		What: "a delegation that lasts longer than the permission",
		make: makeFamily(true, func(h *history) {
			h.child.delegation.Expires = start.Add(2 * time.Hour).UnixMilli()
		})},
	{Name: "delegation-expired", Code: audit.CodeDelegationLater, Class: 60,
		What: "a run that was opened after its delegation's end",
		make: makeFamily(true, func(h *history) {
			d := h.child.delegation
			d.At, d.Expires = d.At-2000, d.At-1000
		})},
	{Name: "delegation-wider", Code: audit.CodeDelegationWider, Class: 60,
		What: "a delegation with more calls than the permission",
		make: makeFamily(true, func(h *history) {
			c := must(auth.ParseCaveats(h.child.delegation.Caveats))
			c.MaxCalls = 1000
			h.child.delegation.Caveats = c.JSON()
		})},
	{Name: "delegation-tool", Code: audit.CodeDelegationWider, Class: 60,
		What: "a delegation of a tool that the wallet did not allow",
		make: makeFamily(true, func(h *history) {
			h.child.delegation.Tools = append(h.child.delegation.Tools, "token.send")
		})},
	{Name: "delegation-agent", Code: audit.CodeDelegationAgent,
		What: "a delegation for another agent than the one that ran",
		make: makeFamily(true, func(h *history) { h.child.delegation.Agent = h.run.Agent })},
	{Name: "delegation-caller", Code: audit.CodeDelegationCaller, Class: 47,
		What: "a delegation for a call that nobody made",
		make: makeFamily(true, func(h *history) {
			c := h.child
			c.disown = true
			call := *c.run.Parent
			call.Effect = 9
			c.delegation.Call, c.run.Parent = call, &call
		})},
	{Name: "delegation-call", Code: provenance.CodeDelegationCall, Class: 50,
		What: "a run under the delegation of another call",
		make: makeFamily(true, func(h *history) {
			c := h.child
			c.disown = true
			call := *c.run.Parent
			call.Effect = 9
			c.delegation.Call = call
		})},
	{Name: "delegation-from", Code: provenance.CodeDelegationFrom,
		What: "a delegation that comes from another permission",
		make: makeFamily(true, func(h *history) {
			c := h.child
			c.disown = true
			g := provenance.Grant{Message: provenance.NewPayload([]byte("another")),
				Sig: provenance.NewPayload([]byte("sig")), Method: "eoa"}
			if err := c.sealPayloads(&g, false); err != nil {
				panic(err)
			}
			b := must(provenance.Encode(&g))
			c.delegation.From = b.CID
			h.books = append(h.books, b, c.leaves[g.Message.Leaf()], c.leaves[g.Sig.Leaf()])
		})},
	{Name: "delegation-limits", Code: audit.CodeDelegationLimits,
		What: "a delegation with other limits than the calling agent's tool has",
		make: makeFamily(true, func(h *history) { h.child.delegation.Expires-- })},
	{Name: "delegation-input", Code: audit.CodeDelegationInput, Class: 61,
		What: "the sub-agent was asked something else than the call says",
		make: familyOf(func(w *world) { w.helper.input = "say it again" }, true, func(*history) {})},
	{Name: "delegation-label", Code: audit.CodeDelegationLabel, Class: 61,
		What: "a sub-agent that begins as if its caller had read nothing",
		make: familyOf(func(w *world) {
			w.helper.claims = `{"integrity":"operator","secrecy":"public"}`
		}, true, func(*history) {})},
	{Name: "delegation-own", Code: audit.CodeDelegationLimits, Class: 61,
		What: "a delegation that says that the user asked for the call in so many words",
		make: makeFamily(true, func(h *history) { h.child.delegation.Own = true })},
	{Name: "delegation-hard-stops", Code: audit.CodeDelegationLimits, Class: 60,
		What: "a delegation with more calls than the caller's run had left",
		make: makeFamily(true, func(h *history) { h.child.delegation.Limits.Calls++ })},
	{Name: "delegation-handed", Code: audit.CodeDelegationHanded, Class: 60,
		What: "a call that hands on more than the caller's run had left",
		make: makeFamily(false, func(h *history) {
			for _, s := range h.steps {
				for _, e := range s.Does {
					if call, ok := e.(*provenance.Call); ok && call.Handed != nil {
						call.Handed.Limits.Turns++
						h.child.delegation.Limits.Turns++
					}
				}
			}
		})},
	{Name: "delegation-result", Code: audit.CodeDelegationChild,
		What: "a result that is not what the sub-agent's run came to",
		make: familyOf(func(w *world) {
			w.lies = func(r *provenance.Result) {
				out, _ := r.Output.Bytes()
				r.Output = provenance.NewPayload(bytes.Replace(out, []byte("it said hi"), []byte("it said no"), 1))
			}
		}, false, func(*history) {})},
	{Name: "delegation-stopped", Code: audit.CodeDelegationStopped, Class: 61,
		What: "a sub-agent that goes on two minutes after its caller's user has said stop",
		make: familyOf(stopBoss, false, func(h *history) {
			h.child.delayFrom(1, 2*time.Minute)
			h.delayFrom(3, 3*time.Minute)
		})},
	{Name: "delegation-nobody", Code: audit.CodeDelegationChild, Class: 54,
		What: "a sub-agent's result without its run",
		make: familyOf(func(w *world) {
			w.lies = func(r *provenance.Result) { r.Child = cid.Undef }
		}, false, func(*history) {})},
}

// falseKeys are histories of which a signature or a permission is not what it must be.
var falseKeys = []vector{
	{Name: "forged", Code: provenance.CodeHeadKey, Class: 64, Peer: "stranger's forgery",
		What: "signed by a stranger, who put his own key into the head",
		make: changeSafely(smallWorld, func(h *history) { h.operator = h.forger })},
	{Name: "head-edited", Code: provenance.CodeHeadSignature, Class: 64,
		What: "the head was changed after it was signed",
		make: changeSafely(smallWorld, func(h *history) { h.crowned = func(d *provenance.Head) { d.At++ } })},
	{Name: "head-unsigned", Code: provenance.CodeHeadUnsigned, Class: 64, What: "a head without a signature",
		make: changeSafely(smallWorld, func(h *history) { h.crowned = func(d *provenance.Head) { d.Sig = nil } })},
	{Name: "siwe-domain", Code: audit.CodeGrantSignature, Class: 66,
		What: "the signed message with another domain",
		make: changeSafely(smallWorld, func(h *history) {
			m, _ := h.grant.Message.Bytes()
			h.grant.Message = provenance.NewPayload(bytes.Replace(m, []byte("app.example.com"),
				[]byte("api.example.com"), 1))
		})},
	{Name: "siwe-method", Code: audit.CodeGrantMethod, What: "a permission signed in a way that is not known",
		make: changeSafely(smallWorld, func(h *history) { h.grant.Method = "trust-me" })},
	{Name: "back-dated", Code: audit.CodeGrantTime, Peer: "back-date",
		What: "all times are those of ten years before, when there was no permission",
		make: changeSafely(smallWorld, func(h *history) {
			const decade = 10 * 365 * 24 * time.Hour
			h.run.Opened -= decade.Milliseconds()
			shiftTimes(h, 0, -decade)
		})},
	{Name: "request-edited", Code: audit.CodeGrantRequest,
		What: "the request says something else than the session key signed",
		make: changeSafely(smallWorld, func(h *history) {
			h.keepAsk = true
			h.steps[0].Event.(*provenance.Ask).Request = provenance.NewPayload(
				[]byte(`{"agent":"payer","idempotency_key":"vector-0001","input":"pay mallory"}`),
			)
		})},
}
