package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed" // of the page's own two files
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/swaggest/swgui/v5/static"
)

// This file is the page that shows the OpenAPI document: Swagger UI, whose
// files come with the program, so that it works without the internet.

const (
	docsPath = "/api/docs"
	// docsPolicy lets the page load what this server has and nothing else, and
	// call this server alone. Swagger UI's style sheet has images in data: URLs.
	docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// docsCache is for the page's files, in seconds: they change with the version
	// of the program.
	docsCache = "public, max-age=3600"
)

//go:embed page/index.html
var docsPage []byte

//go:embed page/start.js
var docsStart []byte

// assets are the files of the page by name. Swagger UI's text files are packed.
func assets() map[string]asset {
	vendored := func(name, media string) asset {
		packed := media != "image/png"
		if packed {
			name += ".gz"
		}
		data, err := fs.ReadFile(static.FS, name)
		if err != nil {
			panic(fmt.Sprintf("rest: Swagger UI lacks %s: %v", name, err)) // embedded: a test finds it
		}
		return asset{media: media, data: data, packed: packed}
	}
	return map[string]asset{
		"swagger-ui-bundle.js": vendored("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
		"swagger-ui.css":       vendored("swagger-ui.css", "text/css; charset=utf-8"),
		"favicon-32x32.png":    vendored("favicon-32x32.png", "image/png"),
		"start.js":             {media: "text/javascript; charset=utf-8", data: docsStart},
	}
}

type asset struct {
	media  string
	data   []byte
	packed bool // by gzip
}

type fileOutput struct {
	ContentType  string `header:"Content-Type" hidden:"true"`
	Encoding     string `header:"Content-Encoding" hidden:"true"`
	CacheControl string `header:"Cache-Control" hidden:"true"`
	Policy       string `header:"Content-Security-Policy" hidden:"true"`
	Body         []byte
}

func (s *server) docsPage(context.Context, *struct{}) (*fileOutput, error) {
	return &fileOutput{ContentType: "text/html; charset=utf-8", CacheControl: docsCache, Policy: docsPolicy, Body: docsPage}, nil
}

type assetInput struct {
	Accept string `header:"Accept-Encoding" hidden:"true"`
}

func (file asset) serve(_ context.Context, in *assetInput) (*fileOutput, error) {
	out := &fileOutput{ContentType: file.media, CacheControl: docsCache, Policy: apiPolicy, Body: file.data}
	switch {
	case !file.packed:
	case strings.Contains(in.Accept, "gzip"):
		out.Encoding = "gzip"
	default:
		data, err := unpack(file.data)
		if err != nil {
			return nil, fmt.Errorf("serve a file of the documents' page: %w", err)
		}
		out.Body = data
	}
	return out, nil
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	data, err := io.ReadAll(r) // of our own program: its size is known
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return data, nil
}

// docsRoutes registers the document and the page that shows it.
func (s *server) docsRoutes() {
	register(s, operation{
		access: anyone(), method: http.MethodGet, path: docsPath + "/openapi.json", id: "openapiJSON", tag: "Operations",
		summary: "This document as JSON", media: "application/openapi+json",
	}, s.openapiJSON)
	register(s, operation{
		access: anyone(), method: http.MethodGet, path: docsPath + "/openapi.yaml", id: "openapiYAML", tag: "Operations",
		summary: "This document as YAML", media: "application/openapi+yaml",
	}, s.openapiYAML)
	register(s, operation{
		access: anyone(), method: http.MethodGet, path: docsPath, id: "docs", tag: "Operations",
		summary: "This document as a page", about: "Swagger UI. It loads nothing from elsewhere.", media: "text/html",
	}, s.docsPage)
	for name, file := range assets() {
		media, _, _ := strings.Cut(file.media, ";")
		register(s, operation{
			access: anyone(), method: http.MethodGet, path: docsPath + "/assets/" + name, id: "docs " + name, tag: "Operations",
			summary: "A file of the page", media: media,
		}, file.serve)
	}
}
