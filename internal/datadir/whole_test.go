package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A store is begun only where nothing shows that there was one: it would know nothing of what was spent.
func TestALostStoreIsNotBegunAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		files string // names under the data folder; an "=" behind one says that something is in it
		there bool
		want  string
	}{
		"no folder":                       {"", false, ""},
		"a key alone":                     {"data/operator.key=", false, ""},
		"a first start that was cut":      {"data/operator.key= data/writ.db", false, ""},
		"a store":                         {"data/writ.db= data/writ.db-mark= data/log/checkpoint=", true, ""},
		"a store without mark and log":    {"data/writ.db=", true, ""},
		"a log without its store":         {"data/log/checkpoint=", false, "has no writ.db, and its log shows"},
		"a mark without its store":        {"data/writ.db-mark=", false, "its writ.db-mark shows"},
		"a write-ahead log alone":         {"data/writ.db-wal=", false, "its writ.db-wal shows"},
		"an empty store beside a mark":    {"data/writ.db data/writ.db-mark=", false, "has an empty writ.db"},
		"an empty store beside a log":     {"data/writ.db data/log/checkpoint=", false, "has an empty writ.db"},
		"a folder for a store":            {"data/writ.db/x=", false, "is no file"},
		"a restoration that was cut":      {"data.restoring/writ-restoring", false, "was cut short, or is under way"},
		"one that lacks its last step":    {"data/writ.db= data/writ-restoring", true, ""},
		"one beside a store that is here": {"data/writ.db= data.restoring/writ-restoring", true, ""},
		"a folder that only looks so":     {"data.restoring/x", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, f := range strings.Fields(tt.files) {
				name, content, _ := strings.Cut(f, "=")
				if strings.HasSuffix(f, "=") {
					content = "x"
				}
				path := filepath.Join(root, name)
				err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600))
				if err != nil {
					t.Fatal(err)
				}
			}
			there, err := CheckStore(filepath.Join(root, "data"))
			if there != tt.there || (err == nil) != (tt.want == "") ||
				err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("there %t, %v; want %t and %q", there, err, tt.there, tt.want)
			}
		})
	}
	stage := filepath.Join(t.TempDir(), "data.restoring")
	err := errors.Join(os.Mkdir(stage, 0o700), os.WriteFile(filepath.Join(stage, StageMark), nil, 0o600),
		os.WriteFile(filepath.Join(stage, StoreFile), []byte("x"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckStore(stage); err == nil {
		t.Error("the folder in which a restoration is prepared is taken for a data folder")
	}
}
