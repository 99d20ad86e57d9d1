package transport

// The routes, as the log names them.
const (
	keyRoute      = "/data/{key}"
	keysRoute     = "/data"
	topicRoute    = "/topics/{topic}"
	socketRoute   = "/ws"
	eventsRoute   = "/events"
	openAPIRoute  = "/openapi.json"
	healthRoute   = "/healthz"
	readyRoute    = "/readyz"
	metricsRoute  = "/metrics"
	sessionsRoute = "/sessions"
	sessionRoute  = "/sessions/{id}"
	profileRoute  = "/debug/pprof/"
	levelRoute    = "/log-level"
	noRoute       = "none" // of other paths
)
