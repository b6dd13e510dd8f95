package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestAMessageGoesOut(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.sends(k, "a", "b", "c")
		o.wait()
		require.Equal(t, []string{"a", "b", "c"}, o.platform.texts("1"))
		for _, text := range []string{"a", "b", "c"} {
			o.status(text, domain.StatusSent)
		}
		o.sound()
	})
}
