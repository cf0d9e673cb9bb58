package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/costs"
)

// Earnings are what users pay, and which margins are told.
type Earnings struct {
	Tariff costs.Tariff
	Paid   string // file in which a biller says what was paid; optional
	Alerts []costs.Alert
}

// EarningsOf reads the settings under revenue. The error is a [*Fault].
func EarningsOf(c *config.Config) (e Earnings, err error) {
	r := &c.Revenue
	e.Paid = r.Paid
	if e.Tariff, err = costs.ParseTariff(costs.Prices{Run: r.PerRun, Tokens: r.PerToken, Plans: r.Plans}); err != nil {
		return e, badSetting("revenue: %s", err)
	}
	for _, rule := range r.Alerts {
		a, err := costs.ParseAlert(rule)
		if err != nil {
			return e, badSetting("revenue.alerts: %s", err)
		}
		e.Alerts = append(e.Alerts, a)
	}
	return e, nil
}

// EarningsSpan is the time that margins are told of.
const EarningsSpan = 24 * time.Hour

// earnedBy are what alerts are about. A session is one wallet's, and a day is all there is.
var earnedBy = []string{"wallet", "agent", "route", "model"}

// A Warning is a line of which an alert tells.
type Warning struct{ Rule, By, Of string }

// MoneySums are what a span came to.
type MoneySums struct {
	Total         costs.Line
	Routes, Model []costs.Line
	Warnings      []Warning
}

// maxEarningRuns bounds the runs of the span that are read, the newest.
const maxEarningRuns = 5000

// Sum adds up what the newest runs of the span cost and brought.
func (e Earnings) Sum(ctx context.Context, db costs.Store, now time.Time) (*MoneySums, error) {
	tariff := e.Tariff
	if e.Paid != "" {
		f, err := os.Open(e.Paid)
		if err != nil {
			return nil, badSetting("revenue.paid: %s", err)
		}
		defer f.Close()
		if tariff.Paid, err = costs.ReadPaid(f); err != nil {
			return nil, badSetting("revenue.paid: %s: %s", e.Paid, err)
		}
	}
	var uses []costs.Use
	scope := costs.Scope{Since: now.Add(-EarningsSpan).UnixMilli(), Runs: maxEarningRuns}
	_, err := costs.GatherOf(ctx, db, scope, func(u costs.Use) { uses = append(uses, u) })
	if err != nil {
		return nil, fmt.Errorf("read what runs cost: %w", err)
	}
	out := new(MoneySums)
	for _, by := range earnedBy {
		lines, total, err := costs.Sum(uses, by, tariff)
		if err != nil {
			return nil, err
		}
		out.Total = total
		switch by {
		case "route":
			out.Routes = lines
		case "model":
			out.Model = lines
		}
		for _, a := range e.Alerts {
			for i := range lines {
				if a.Holds(&lines[i]) {
					out.Warnings = append(out.Warnings, Warning{a.String(), by, lines[i].Of})
				}
			}
		}
	}
	return out, nil
}

// A moneyMeter tells the figures of money when it is asked, and reads the journal once a minute at most.
type moneyMeter struct {
	earnings Earnings
	db       costs.Store
	log      *slog.Logger

	mu   sync.Mutex
	sums *MoneySums // guarded by mu; nil if they could not be read
	read time.Time  // guarded by mu
}

func newMoneyMeter(e Earnings, db costs.Store, log *slog.Logger) *moneyMeter {
	return &moneyMeter{earnings: e, db: db, log: log}
}

// Of lines by route or model, so many are told, the dearest; the others are one. No wallet is ever a label.
const maxMoneyLines = 50

const (
	moneyPause = time.Minute
	moneyTime  = 10 * time.Second
)

var (
	moneyFigures = []struct {
		desc *prometheus.Desc
		of   func(*costs.Line) int64
	}{
		{moneyDesc("cost", "What answered calls cost"), func(l *costs.Line) int64 { return l.Cost }},
		{moneyDesc("doubtful", "What calls that failed may have cost"), func(l *costs.Line) int64 { return l.Doubtful }},
		{moneyDesc("revenue", "What users paid, by revenue"), func(l *costs.Line) int64 { return l.Revenue }},
		{moneyDesc("margin", "Revenue less cost and doubtful"), func(l *costs.Line) int64 { return l.Margin }},
		{moneyDesc("saved", "What the dearest model would have cost more"), func(l *costs.Line) int64 { return l.Saved }},
	}
	moneyAlerts = prometheus.NewDesc("writ_money_alerts",
		"Wallets, agents, routes or models of which a rule of revenue.alerts tells, over the last 24 hours.",
		[]string{"rule", "by"}, nil)
)

func moneyDesc(what, says string) *prometheus.Desc {
	return prometheus.NewDesc("writ_money_"+what+"_usd", says+", in USD over the last 24 hours, in all, by route and by "+
		"model.", []string{"by", "of"}, nil)
}

// Describe is of prometheus.Collector.
func (m *moneyMeter) Describe(to chan<- *prometheus.Desc) {
	for _, f := range moneyFigures {
		to <- f.desc
	}
	to <- moneyAlerts
}

// Collect is of prometheus.Collector.
func (m *moneyMeter) Collect(to chan<- prometheus.Metric) {
	sums := m.look(time.Now())
	if sums == nil {
		return
	}
	tell := func(by, of string, l *costs.Line) {
		for _, f := range moneyFigures {
			to <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, float64(f.of(l))/1e9, by, of)
		}
	}
	tell("total", "all", &sums.Total)
	for _, l := range costs.JoinSmall(sums.Routes, maxMoneyLines) {
		tell("route", l.Of, &l)
	}
	for _, l := range costs.JoinSmall(sums.Model, maxMoneyLines) {
		tell("model", l.Of, &l)
	}
	warned := map[[2]string]int{}
	for _, w := range sums.Warnings {
		warned[[2]string{w.Rule, w.By}]++
	}
	told := map[string]bool{}
	for _, a := range m.earnings.Alerts {
		if told[a.String()] {
			continue
		}
		told[a.String()] = true
		for _, by := range earnedBy {
			n := float64(warned[[2]string{a.String(), by}])
			to <- prometheus.MustNewConstMetric(moneyAlerts, prometheus.GaugeValue, n, a.String(), by)
		}
	}
}

// look returns sums that are a minute old at most.
func (m *moneyMeter) look(now time.Time) *MoneySums {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.read.IsZero() && now.Sub(m.read) < moneyPause {
		return m.sums
	}
	ctx, cancel := context.WithTimeout(context.Background(), moneyTime)
	defer cancel()
	sums, err := m.earnings.Sum(ctx, m.db, now)
	if err != nil {
		m.log.Error("the figures of money cannot be read", "err", err)
	}
	m.sums, m.read = sums, now
	return sums
}
