package gather

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/go-cid"
)

// A Pointer is what a record of IPNS says, which the key of its name has signed.
type Pointer struct {
	Name     string // in its one spelling, base36
	Root     cid.Cid
	Sequence uint64    // of two records of a name, the one with the higher one is newer
	Until    time.Time // when the record ends; of two with one sequence, the later one is newer
}

const ipnsScheme = "ipns://"

// IsIPNS says whether a name is one of IPNS: ipns://NAME.
func IsIPNS(name string) bool { return strings.HasPrefix(name, ipnsScheme) }

// IPNS asks the gateway what a name of IPNS, ipns://NAME, points to. The record that it sends is held to the
// signature of the name's key and to its time, so that a gateway can withhold a record, or send an older one, and
// make none.
func (g *Getter) IPNS(ctx context.Context, name string) (Pointer, error) {
	text := strings.TrimSuffix(strings.TrimPrefix(name, ipnsScheme), "/")
	n, err := ipns.NameFromString(text)
	if err != nil {
		return Pointer{}, fmt.Errorf("%s: it is no name that a key signs; a domain's (DNSLink) is signed by nobody, so "+
			"give the CID, or a name such as ipns://k51...", name)
	}
	p := Pointer{Name: n.String()}
	rec, err := g.getRecord(ctx, n)
	if err != nil {
		return p, fmt.Errorf("%s%s: %w", ipnsScheme, p.Name, err)
	}
	if p.Root, err = rootOf(rec); err != nil {
		return p, fmt.Errorf("%s%s: %w", ipnsScheme, p.Name, err)
	}
	if p.Sequence, err = rec.Sequence(); err == nil {
		p.Until, err = rec.Validity()
	}
	return p, err
}

// getRecord gets the record of a name, and validates it.
func (g *Getter) getRecord(ctx context.Context, n ipns.Name) (*ipns.Record, error) {
	base, client, err := g.gateway()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	_, data, err := getAs(ctx, client, base+"/ipns/"+n.String()+"?format=ipns-record", "application/vnd.ipfs.ipns-record",
		int64(ipns.MaxRecordSize))
	if err != nil {
		return nil, fmt.Errorf("by the gateway: %w", err)
	}
	rec, err := ipns.UnmarshalRecord(data)
	if err != nil {
		return nil, errors.New("the gateway answers what is no record of IPNS")
	}
	switch err := ipns.ValidateWithName(rec, n); {
	case errors.Is(err, ipns.ErrExpiredRecord):
		return nil, errors.New("its record has ended; it must be published anew")
	case err != nil:
		return nil, errors.New("the gateway's record is not signed by the key of this name")
	}
	return rec, nil
}

// rootOf returns the CID that a record points to.
func rootOf(rec *ipns.Record) (cid.Cid, error) {
	value, err := rec.Value()
	if err != nil {
		return cid.Undef, err
	}
	root, ok := strings.CutPrefix(strings.TrimSuffix(value.String(), "/"), "/ipfs/")
	c, err := cid.Decode(root)
	if !ok || err != nil {
		return cid.Undef, fmt.Errorf("it points to %q; only /ipfs/CID is followed, so publish the folder's own CID", value)
	}
	return c, nil
}

// gateway returns the base URL of the gateway, and a client that goes nowhere else.
func (g *Getter) gateway() (base string, client *http.Client, err error) {
	base = strings.TrimSuffix(strings.TrimSuffix(g.Gateway, "/"), "/ipfs")
	if !IsURL(base) {
		return "", nil, errors.New("name the gateway by which it is got, such as http://127.0.0.1:8080")
	}
	return base, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the gateway redirects; name the one that has it")
	}}, nil
}
