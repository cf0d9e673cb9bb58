package telemetry

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestLog(t *testing.T) {
	var out bytes.Buffer
	l, err := Log(&out, "info", "auto")
	if err != nil {
		t.Fatal(err)
	}
	l.Debug("not this")
	l.Info("tool called", "tool", "erc20.balance", "api_key", "sk-1", "params", "{}", "Signature", "0x1")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("not one JSON line: %q", out.String())
	}
	if line["tool"] != "erc20.balance" || line["api_key"] != "[redacted]" || line["params"] != "[redacted]" || line["Signature"] != "[redacted]" {
		t.Errorf("got %v", line)
	}
	out.Reset()
	if l, err = Log(&out, "debug", "text"); err != nil {
		t.Fatal(err)
	}
	l.Debug("seen")
	if !strings.Contains(out.String(), "msg=seen") {
		t.Errorf("got %q", out.String())
	}
}

func TestBadLogSettingsSayWhatIsGood(t *testing.T) {
	for _, bad := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := Log(&bytes.Buffer{}, bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), "one of") {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}

func TestMetricsNameTheBuild(t *testing.T) {
	all, err := Metrics("1.2.3", "abc").Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == "writ_build_info" && strings.Contains(m.String(), "1.2.3") {
			return
		}
	}
	t.Error("no writ_build_info with the version")
}
