package definition

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/provenance"
)

// BasePrompt makes the digest of what every prompt of an agent begins with, and counts its bytes.
func BasePrompt(a *provenance.Agent, offered []model.Tool) (digest [32]byte, size int64) {
	h := sha256.New()
	h.Write([]byte("writ/prompt/1\n"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(a.Instructions))))
	h.Write([]byte(a.Instructions))
	for _, l := range a.Tools {
		h.Write(l.Bytes())
	}
	h.Sum(digest[:0])
	size = int64(len(a.Instructions))
	for _, t := range offered { // a model pays for the definitions as input
		size += int64(len(t.Name)+len(t.About)+len(t.Schema)) + thread.FrameTokens
	}
	return digest, size
}
