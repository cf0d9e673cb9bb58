package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
)

// An UnknownVariable is a variable of the environment that begins as those of writ do and that nothing reads.
type UnknownVariable struct {
	Name string
	Near string // the known one that it is nearest to; "" if none is near
}

// read are the variables that are no settings: of the command line, and of examples, for programs that ask a server.
var read = []string{"WRIT_CONTEXT", "WRIT_HOME", "WRIT_KEY", "WRIT_PASSWORD_FILE", "WRIT_SERVER", "WRIT_URL"}

// ours is what variables of our own tests begin with.
var ours = []string{
	"WRIT_TEST_", "WRIT_CRASH_", "WRIT_STORE_", "WRIT_E2E_", "WRIT_FLOOD", "WRIT_HOSTILE_", "WRIT_KUBO", "WRIT_MODEL_",
}

// given are variables that an orchestrator sets in each container beside a service that is called writ.
var given = regexp.MustCompile(`^WRIT_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)$`)

// UnknownVariables lists the variables among environ, as [os.Environ] has them, that are misspelt, or that a setting
// cannot be given by: nothing reads them, and who has set one believes otherwise. Those that settings name as the place
// of a secret are known; c may be nil.
func UnknownVariables(environ []string, c *Config) (out []UnknownVariable) {
	known := map[string]bool{}
	for _, name := range read {
		known[name] = true
	}
	defaults := Default()
	for _, l := range listLeaves(reflect.ValueOf(&defaults).Elem(), "") {
		if l.hasTextForm() {
			known[envName(l.path)] = true
		}
	}
	secrets := map[string]bool{}
	if c != nil {
		listSecrets(reflect.ValueOf(c).Elem(), "env:", secrets)
	}
	for _, text := range environ {
		name, value, _ := strings.Cut(text, "=")
		switch {
		case !strings.HasPrefix(strings.ToUpper(name), "WRIT_"), known[name], secrets[name], given.MatchString(name),
			name == "WRIT_PORT" && strings.Contains(value, "://"),
			slices.ContainsFunc(ours, func(begin string) bool { return strings.HasPrefix(name, begin) }):
			continue
		}
		out = append(out, UnknownVariable{name, nearestOf(name, known)})
	}
	slices.SortFunc(out, func(a, b UnknownVariable) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// nearestOf compares what stands behind the beginning that all have.
func nearestOf(name string, known map[string]bool) string {
	var rest []string
	for k := range known {
		rest = append(rest, strings.TrimPrefix(k, "WRIT_"))
	}
	slices.Sort(rest)
	if near := wording.Nearest(name[len("WRIT_"):], rest); near != "" {
		return "WRIT_" + near
	}
	return ""
}

// SecretFiles returns the files with secrets that the settings name, each once.
func (c *Config) SecretFiles() []string {
	named := map[string]bool{}
	listSecrets(reflect.ValueOf(c), "file:", named)
	if c.TLS.Key != "" {
		named[c.TLS.Key] = true
	}
	return slices.Sorted(maps.Keys(named))
}

// listSecrets notes where the secrets of the settings are that are of one kind: "env:" or "file:".
func listSecrets(v reflect.Value, kind string, into map[string]bool) {
	switch {
	case v.Type() == reflect.TypeFor[Secret]():
		if name, ok := strings.CutPrefix(v.String(), kind); ok {
			into[name] = true
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			listSecrets(v.Field(i), kind, into)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			listSecrets(v.Index(i), kind, into)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		listSecrets(v.Elem(), kind, into)
	}
}

// String says what is wrong, and what to do.
func (u UnknownVariable) String() string {
	if u.Near != "" {
		return "environment variable " + u.Name + ": there is no such setting; did you mean " + u.Near + "?"
	}
	return "environment variable " + u.Name + ": there is no such setting; writ config print lists them; unset it"
}
