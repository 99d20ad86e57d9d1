package transport

import (
	_ "embed"
	"net/http"
)

// openAPI describes the REST side (OpenAPI 3.1). A test holds the server's
// answers against it.
//
//go:embed openapi.json
var openAPI []byte

func (s *Server) describe(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, openAPI)
	return nil
}
