package rest

import (
	"fmt"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// minPacked is from how many bytes on an answer is packed: a shorter one fits
// into one packet anyway.
const minPacked = 1400

// packer returns what packs answers by gzip for clients that take it: the JSON
// of reads. What a POST answers may hold a secret beside what the caller sent,
// and packing tells about both by its length; files are packed already, and
// their ranges count their own bytes.
func packer() (func(http.Handler) http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(minPacked), gzhttp.EnableZstd(false),
		gzhttp.ContentTypes([]string{"application/json", "application/openapi+json", "application/openapi+yaml", "text/javascript"}),
	)
	if err != nil {
		return nil, fmt.Errorf("pack answers: %w", err)
	}
	return func(next http.Handler) http.Handler {
		packed := wrap(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				packed.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}
