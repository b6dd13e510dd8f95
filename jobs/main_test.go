package jobs

import (
	"os"
	"testing"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestMain(m *testing.M) { os.Exit(persistencetest.Main(m)) }
