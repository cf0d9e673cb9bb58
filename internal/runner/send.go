package runner

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// ErrOtherSession says that something was sent into a run of another session. What is said in a run is signed by the
// key that its grant names.
var ErrOtherSession = errors.New("the run is of another session")

// A SendRequest is what a user says into a run that goes on.
type SendRequest struct {
	Session journal.Session
	Frame   auth.Frame // its Params are a wire.SendParams
	Sig     []byte
	Run     provenance.Link
	Key     string          // idempotency key, 1 to 128 bytes
	Of      *provenance.Ref // the question that it answers; nil to steer
	Files   []provenance.Piece
}

// sends brings into runs what their users say.
type sends struct{ runs *runs }

// Send brings into a run what its user says, and returns the step that records it. The same idempotency key and params
// return the step that is there already; the same key with other params is ErrConflict. The errors of agent/loop say
// why the run does not take it.
func (s *sends) Send(ctx context.Context, q SendRequest) (seq uint64, err error) {
	if seq, err = s.send(ctx, q); err != nil {
		return 0, fmt.Errorf("send into a run: %w", err)
	}
	return seq, nil
}

func (s *sends) send(ctx context.Context, q SendRequest) (uint64, error) {
	if err := checkSigned(q.Session, q.Frame, q.Sig, q.Key); err != nil {
		return 0, err
	}
	info, err := s.runs.cfg.Store.Run(ctx, q.Run)
	if err != nil {
		return 0, err
	}
	if info.Session != q.Session.ID {
		return 0, ErrOtherSession
	}
	if err := s.runs.cfg.checkServed(info.Account, info.Owner()); err != nil {
		return 0, err
	}
	refused := s.runs.deliverEvent(ctx, q.Run, &provenance.Ask{
		Request: provenance.NewPayload(q.Frame.Params), Channel: q.Frame.Channel, Seq: q.Frame.Seq,
		Method: q.Frame.Method, Key: q.Session.Key, Sig: q.Sig, Of: q.Of, Files: q.Files,
	})
	if refused != nil && !errors.Is(refused, errEvent) && !errors.Is(refused, journal.ErrNotFound) {
		return 0, refused
	}
	// Where it stands; also if the run did not take it since it is there already, maybe from before it ended.
	h, err := s.runs.loadRun(ctx, q.Run, true)
	if err != nil {
		return 0, err
	}
	switch seq, there, same := h.state.Sent(q.Key, sha256.Sum256(q.Frame.Params)); {
	case there && same:
		return seq, nil
	case there:
		return 0, fmt.Errorf("something else was sent with this key: %w", journal.ErrConflict)
	}
	return 0, refused
}
