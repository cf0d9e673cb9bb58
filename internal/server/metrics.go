package server

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the server counts. No label comes from a client.
type metrics struct {
	sockets  prometheus.Gauge
	channels prometheus.Gauge         // of posted requests
	refused  *prometheus.CounterVec   // by reason: connections that were not made
	closed   *prometheus.CounterVec   // by why
	frames   *prometheus.CounterVec   // by method and code
	took     *prometheus.HistogramVec // by method, seconds
	events   prometheus.Counter
	dropped  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "writ_sockets", Help: "Open WebSocket connections."}),
		channels: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "writ_channels", Help: "Channels that posted requests have open."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_sockets_refused_total", Help: "Connections and posted requests refused unread, by reason."},
			[]string{"reason"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_sockets_ended_total", Help: "Connections that ended, by why."}, []string{"why"}),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_calls_total", Help: "Calls answered, by method and code."}, []string{"method", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "writ_call_seconds", Help: "Time from a call to its answer.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30}}, []string{"method"}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "writ_events_sent_total", Help: "Durable run events queued for clients."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "writ_deltas_dropped_total", Help: "Text deltas not sent because a client was slow."}),
	}
	reg.MustRegister(m.sockets, m.channels, m.refused, m.closed, m.frames, m.took, m.events, m.dropped)
	return m
}
