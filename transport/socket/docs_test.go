package socket_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket"
)

// The table of reasons in the documentation is the one of the code.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "realtime.md"))
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "| code | reason | when | comes back |\n| --- | --- | --- | --- |\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		require.Len(t, cells, 4, line)
		documented = append(documented, cells[0]+" "+cells[1]+" "+cells[3])
	}
	var coded []string
	for r := socket.ReasonClientLeft; r <= socket.ReasonRevoked; r++ {
		code, back := "–", "no"
		if r.Code() > 0 {
			code = strconv.Itoa(int(r.Code()))
		}
		if r.ComesBack() {
			back = "yes"
		}
		coded = append(coded, code+" `"+r.String()+"` "+back)
	}
	require.ElementsMatch(t, coded, documented)
}
