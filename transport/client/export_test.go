package client

// Matches reports whether a name matches a pattern, as the client finds the subscriptions of
// an update.
func Matches(pattern, name string) bool { return selector{name: pattern}.matches(name) }
