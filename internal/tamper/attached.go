package tamper

import (
	"encoding/json"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// Files that go with a request.
var (
	invoice = fileOf("invoice.txt", "text/plain", "Bob asks for 5 USDC.\n")
	chart   = fileOf("chart.png", "image/png", "\x89PNG\r\n\x1a\n and what a picture would be")
	forgery = fileOf("invoice.txt", "text/plain", "Bob asks for 9 USDC.\n") // as long as the invoice
)

func fileOf(name, media, data string) model.File {
	return model.File{CID: attach.CIDOf([]byte(data)), Name: name, Type: media, Data: []byte(data)}
}

// attachedWorld is the small run, whose request brings files with it.
func attachedWorld(files ...model.File) func() *world {
	return func() *world {
		w := smallWorld()
		w.files, w.replies = files, []model.Reply{replyText("Bob asks for 5 USDC.")}
		return w
	}
}

// nameFiles says what a request attaches.
func nameFiles(files []model.File) (named []wire.Attached) {
	for _, f := range files {
		named = append(named, wire.Attached{CID: f.CID, Size: uint64(len(f.Data)), Type: f.Type, Name: f.Name})
	}
	return named
}

// piecesOf are the bytes of files, as they stand beside a request.
func piecesOf(files ...model.File) (pieces []provenance.Piece) {
	for _, f := range files {
		pieces = append(pieces, attach.Split(f.Data)...)
	}
	return pieces
}

// attachOthers has a request, that a model was asked with some files, stand in the record with others.
func attachOthers(asked []model.File, named []wire.Attached, pieces ...provenance.Piece) func(*bench) ([]byte, error) {
	return changeHistory(attachedWorld(asked...), func(h *history) error {
		h.steps[0].Event.(*provenance.Ask).Files = pieces
		return h.nameOthers(named)
	})
}

// nameOthers has the request name other files.
func (h *history) nameOthers(named []wire.Attached) error {
	ask := h.steps[0].Event.(*provenance.Ask)
	raw, _ := ask.Request.Bytes()
	var params map[string]any
	if err := json.Unmarshal(raw, &params); err != nil {
		return err
	}
	if params["attach"] = named; named == nil {
		delete(params, "attach")
	}
	raw, err := json.Marshal(params)
	ask.Request = provenance.NewPayload(raw)
	return err
}

// forgeFiles has the session key sign the honest files, and keeps that signature for others.
func forgeFiles(h *history) error {
	ask := h.steps[0].Event.(*provenance.Ask)
	forged := ask.Request
	if err := h.nameOthers(nameFiles(bothFiles)); err != nil {
		return err
	}
	if err := h.relinkAll(); err != nil {
		return err
	}
	ask.Request, h.keepAsk = forged, true
	return nil
}

// renamed are the files of the honest run with something else said of the invoice.
func renamed(change func(*wire.Attached)) []wire.Attached {
	named := nameFiles(bothFiles)
	change(&named[0])
	return named
}

var bothFiles = []model.File{invoice, chart}

// sentFilesWorld is the small run, into which its user sends files.
func sentFilesWorld() *world {
	w := sendWorld()
	w.sends, w.sendFiles = map[int]string{1: "and read these"}, map[int][]model.File{1: bothFiles}
	return w
}

// falseFiles are runs whose request brought other files with it than is recorded, or than the model was given.
var falseFiles = []vector{
	{Name: "honest-attached", Verdict: verified, What: "a run whose request brings a text and an image with it",
		make: changeSafely(attachedWorld(bothFiles...), func(*history) {})},
	{Name: "attached-forged", Code: audit.CodeGrantRequest,
		What: "another file of the same name and size, which the session key has not signed",
		make: changeHistory(attachedWorld(forgery, chart), forgeFiles)},
	{Name: "attached-bytes", Code: audit.CodeDecisionEvent, What: "the bytes of another file beside the signed request",
		make: attachOthers([]model.File{forgery, chart}, nameFiles(bothFiles), piecesOf(forgery, chart)...)},
	{Name: "attached-told", Code: audit.CodeContextPrompt, What: "the model was given another file than was signed",
		make: attachOthers([]model.File{forgery, chart}, nameFiles(bothFiles), piecesOf(bothFiles...)...)},
	{Name: "attached-type", Code: audit.CodeContextPrompt, What: "the model was told another media type than was signed",
		make: attachOthers(bothFiles, renamed(func(f *wire.Attached) { f.Type = "text/csv" }),
			piecesOf(bothFiles...)...)},
	{Name: "attached-no-image", Code: audit.CodeDecisionEvent, What: "the signed media type is not that of the bytes",
		make: attachOthers(bothFiles, renamed(func(f *wire.Attached) { f.Type = "image/gif" }),
			piecesOf(bothFiles...)...)},
	{Name: "attached-size", Code: audit.CodeDecisionEvent, What: "the signed size is not that of the bytes",
		make: attachOthers(bothFiles, renamed(func(f *wire.Attached) { f.Size++ }), piecesOf(bothFiles...)...)},
	{Name: "attached-unsigned", Code: audit.CodeDecisionEvent, What: "beside the request is a file that it does not name",
		make: attachOthers(bothFiles, nameFiles(bothFiles[:1]), piecesOf(bothFiles...)...)},
	{Name: "attached-more", Code: audit.CodeContextPrompt, What: "the model was given a file that was not attached",
		make: attachOthers(bothFiles, nameFiles(bothFiles[:1]), piecesOf(invoice)...)},
	{Name: "attached-none", Code: audit.CodeDecisionLabel, What: "the model was given files, and none was attached",
		make: attachOthers(bothFiles, nil)},
	{Name: "attached-absent", Code: audit.CodeDecisionEvent, What: "a file that the request names is not beside it",
		make: attachOthers(bothFiles, nameFiles(bothFiles), piecesOf(invoice)...)},
	{Name: "attached-withheld", Code: audit.CodeContextPrompt, What: "a file that was attached is not in the prompt",
		make: attachOthers(bothFiles[:1], nameFiles(bothFiles), piecesOf(bothFiles...)...)},
	{Name: "attached-twice", Code: audit.CodeDecisionEvent, What: "the request names one file twice",
		make: attachOthers(bothFiles, nameFiles([]model.File{invoice, chart, invoice}),
			piecesOf(invoice, chart, invoice)...)},
	{Name: "attached-order", Code: audit.CodeContextPrompt, What: "the model was given the files in another order",
		make: attachOthers([]model.File{chart, invoice}, nameFiles(bothFiles), piecesOf(bothFiles...)...)},
	{Name: "attached-swapped", Code: audit.CodeDecisionEvent,
		What: "the files stand beside the request in another order than it names them in",
		make: attachOthers(bothFiles, nameFiles(bothFiles), piecesOf(chart, invoice)...)},
	{Name: "honest-attached-sent", Verdict: verified, What: "a run into which its user sent a text and an image",
		make: changeSafely(sentFilesWorld, func(*history) {})},
	{Name: "attached-sent", Code: audit.CodeDecisionEvent, What: "the bytes of another file beside what was sent",
		make: changeSafely(sentFilesWorld, func(h *history) { h.sentSteps()[0].Files = piecesOf(forgery, chart) })},
	{Name: "attached-label", Code: audit.CodeDecisionLabel, What: "what a file says is said to be the user's word",
		make: changeSafely(attachedWorld(bothFiles...), func(h *history) {
			h.steps[0].Label = definition.LabelPayload(label.Label{Integrity: label.User, Secrecy: label.Session})
		})},
}
