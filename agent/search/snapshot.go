package search

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
)

// Bounds of a snapshot's file.
const (
	maxSnapshot = 512 << 20 // bytes
	maxList     = 64 << 20  // of the list of chunks
	maxChunk    = 64 << 10  // of one
)

// A Snapshot is a list of chunks with what they say: all that a reader could read at a search.
type Snapshot struct {
	CID     string // of the list
	Chunks  map[string]Chunk
	shelved *Shelved
}

// Search ranks the chunks by words for a query, as [Shelved.Search] does.
func (s *Snapshot) Search(query string) (ids []string, covers map[string]int) {
	if s.shelved == nil {
		s.shelved = Shelve(s.Chunks)
	}
	return s.shelved.Search(query)
}

// A header is this text with the root between its halves: {"roots": [root], "version": 1} in dag-cbor.
const (
	headerA = "\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
	headerB = "\x67version\x01"
	cidSize = 36
)

// WriteSnapshot writes a CAR v1 file of chunks: the list of their CIDs, which is its root, and each chunk in the list's
// order. The same chunks always give the same bytes. It returns the list's CID.
func WriteSnapshot(w io.Writer, chunks map[string]Chunk) (string, error) {
	ids := slices.Sorted(keysOf(chunks))
	list := ListBytes(ids)
	out := bufio.NewWriterSize(w, 64<<10)
	root := CIDOf(list)
	out.WriteString(headerA + keyOf(root) + headerB)
	writeBlock(out, root, list)
	for _, id := range ids {
		writeBlock(out, id, chunks[id].Bytes())
	}
	return root, out.Flush()
}

func writeBlock(out *bufio.Writer, id string, data []byte) {
	var head [binary.MaxVarintLen64]byte
	out.Write(head[:binary.PutUvarint(head[:], uint64(cidSize+len(data)))])
	out.WriteString(keyOf(id))
	out.Write(data)
}

// keyOf returns a CID's bytes.
func keyOf(id string) string {
	c, err := cid.Decode(id)
	if err != nil { // it is one of CIDOf
		panic("search: " + err.Error())
	}
	return c.KeyString()
}

// ReadSnapshot reads what [WriteSnapshot] wrote. Every block is held to its CID, and the list to the chunks: all of
// them are there, and no other. The error says in one sentence what is wrong.
func ReadSnapshot(r io.Reader) (*Snapshot, error) {
	in := bufio.NewReaderSize(io.LimitReader(r, 2*maxSnapshot), 64<<10)
	head := make([]byte, len(headerA)+cidSize+len(headerB))
	if _, err := io.ReadFull(in, head); err != nil || string(head[:len(headerA)]) != headerA ||
		string(head[len(headerA)+cidSize:]) != headerB {
		return nil, errors.New("it is no CAR file with one root, as writ docs snapshot writes it")
	}
	s := &Snapshot{Chunks: map[string]Chunk{}}
	id, list, err := readBlock(in, maxList)
	if err != nil {
		return nil, fmt.Errorf("its list of chunks: %w", err)
	}
	if s.CID = id; keyOf(id) != string(head[len(headerA):len(headerA)+cidSize]) {
		return nil, errors.New("its first block is not its root, the list of chunks")
	}
	size := len(list)
	var ids []string
	for {
		id, data, err := readBlock(in, maxChunk)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("its block %d: %w", len(ids)+2, err)
		}
		if size += len(data); size > maxSnapshot {
			return nil, fmt.Errorf("it has more than %d bytes", maxSnapshot)
		}
		var c Chunk
		if json.Unmarshal(data, &c) != nil || string(c.Bytes()) != string(data) {
			return nil, fmt.Errorf("the block %s is no chunk as docs/retrieval.md has it", id)
		}
		s.Chunks[id] = c
		ids = append(ids, id)
	}
	if string(ListBytes(ids)) != string(list) || len(ids) != len(s.Chunks) {
		return nil, fmt.Errorf("it has %d chunks and its list %d: one is missing, is there twice, or is another", len(ids),
			strings.Count(string(list), "\n"))
	}
	return s, nil
}

// readBlock reads a block. [io.EOF] says that there is none any more.
func readBlock(in *bufio.Reader, most int) (id string, data []byte, err error) {
	n, err := binary.ReadUvarint(in)
	if errors.Is(err, io.EOF) {
		return "", nil, io.EOF
	}
	if err != nil || n < cidSize || n > uint64(cidSize+most) {
		return "", nil, fmt.Errorf("it has %d bytes, or the file ends in it; at most %d are read", n, most)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return "", nil, errors.New("the file ends in it")
	}
	data = b[cidSize:]
	if id = CIDOf(data); keyOf(id) != string(b[:cidSize]) {
		return "", nil, fmt.Errorf("its bytes are not what its CID says; they have the CID %s", id)
	}
	return id, data, nil
}

// A Request is what a search is asked.
type Request struct {
	Query string `json:"query"`
	Limit *int64 `json:"limit"`
}

// Most returns how many passages are asked for: 4 if it is not said, 8 at most.
func (r Request) Most() int {
	if r.Limit == nil {
		return 4
	}
	return int(min(max(*r.Limit, 1), MaxHits))
}
