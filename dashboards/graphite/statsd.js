// StatsD of npm (0.9) for Holdfast and Graphite: node stats.js /etc/statsd/holdfast.js
//
// For HOLDFAST_STATSD_STYLE=plain. Each name is several files of Whisper; only the figures that the dashboard shows are sent.
{
  address: "127.0.0.1",
  port: 8125,
  mgmt_address: "127.0.0.1",
  mgmt_port: 8126,
  backends: ["./backends/graphite"],
  graphiteHost: "127.0.0.1",
  graphitePort: 2003,
  graphite: { legacyNamespace: false }, // stats.counters.…, stats.timers.…, stats.gauges.…
  flushInterval: 10000, // as the first retention in storage-schemas.conf
  percentThreshold: [50, 95, 99],
  calculatedTimerMetrics: ["count_ps", "mean", "upper", "upper_percent"],
  deleteTimers: true, // no duration is no value, not 0
  deleteGauges: true, // a gauge ends a minute after its last line: a service that is down has none
  gaugesMaxTTL: 6,
}
