package actors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"
)

// TestKindsStay fails when the number of a message gets another meaning: the
// node beside us may be of the release before.
func TestKindsStay(t *testing.T) {
	t.Parallel()
	kept := map[uint64]string{
		1: "error", 2: "bool", 3: "int", 4: "string", 5: "[]uint8",
		10: "actors.Request", 11: "actors.Results", 12: "actors.granted", 13: "actors.deferred", 14: "actors.attempted", 15: "actors.wake",
		20: "actors.reserve", 21: "actors.unreserve", 22: "actors.depart", 23: "actors.departed", 24: "actors.answered",
		25: "actors.channelState", 26: "actors.brokenNoted", 27: "actors.moved",
		30: "actors.connected", 31: "actors.heartbeat", 32: "actors.presenceSet", 33: "actors.disconnected", 34: "actors.loginEnded",
		35: "actors.suspended", 36: "actors.absent", 37: "actors.announced", 38: "actors.missed", 40: "actors.look",
		51: "domain.FeedReplay", 52: "domain.FeedEvent", 53: "domain.FeedHistory",
		54: "actors.publish", 55: "actors.bulletin", 56: "actors.attend", 57: "actors.ack", 58: "actors.feedState",
		70: "actors.agentState", 71: "actors.entry", 72: "actors.rosterAsk", 73: "actors.rosterAnswer",
		60: "actors.letter", 61: "actors.returned", 62: "actors.fetch", 63: "actors.parcel",
		100: "domain.Accept", 101: "domain.Release", 102: "domain.Complete", 103: "domain.Reassign", 104: "domain.Reopen", 105: "domain.Read",
		106: "domain.Send", 107: "domain.ReleaseIf", 108: "domain.Assign", 109: "domain.Receive", 110: "domain.ClaimSend",
		111: "domain.FinishSend", 112: "domain.ExpireSend", 113: "domain.MediaSettled", 114: "domain.NameLearned",
		130: "domain.CustomerMessage", 131: "domain.CustomerReaction", 132: "domain.MessageEdited", 133: "domain.MessageRevoked",
		134: "domain.BusinessEcho", 135: "domain.StatusReport", 136: "domain.Watermark", 137: "domain.SystemNotice", 138: "domain.ThreadNote",
		150: "*domain.Refusal", 151: "*domain.ValueError", 152: "*domain.MisroutedError", 153: "*domain.CallError", 154: "*domain.LimitError",
		155: "*domain.ReplayError",
	}
	now := map[uint64]string{}
	for number, k := range wireKinds.byNumber {
		now[number] = k.typ.String()
	}
	require.Equal(t, kept, now, "a new kind is kept from now on")
	require.Len(t, sentinels, 20)
	for number, text := range map[uint64]string{
		1: "not found", 2: "storage unavailable", 3: "overloaded", 4: "outcome unknown", 5: "handling failed", 6: "unknown target",
		10: "another user of the organization has the e-mail", 11: "the organization's last ACTIVE ADMIN",
		12: "another channel works with the number or page", 13: "the channel hasn't proved its number or page",
		14: "the channel's credentials don't work", 15: "the channel was changed meanwhile", 16: "the session is over",
		20: "not an address of the platforms' media", 21: "file is too large", 22: "file is empty or of a type that isn't taken",
		23: "file is gone", 24: "file isn't the one that was announced", 30: "context canceled", 31: "context deadline exceeded",
	} {
		require.EqualError(t, sentinels[number], text)
	}
}

// TestKindsAreComplete reads the source of the domain: a command, an inbound
// event or an error that is new there needs a number here.
func TestKindsAreComplete(t *testing.T) {
	t.Parallel()
	registered := map[string]bool{}
	for typ := range wireKinds.byType {
		registered[strings.TrimPrefix(typ.String(), "*")] = true
	}
	found := declared(t, "../domain")
	for method, least := range map[string]int{"command": 15, "inbound": 9, "Error": 6} {
		require.GreaterOrEqual(t, len(found.methods[method]), least, method)
		for _, receiver := range found.methods[method] {
			require.True(t, registered["domain."+receiver], "%s isn't registered", receiver)
		}
	}
	require.Len(t, found.sentinels, len(sentinels)-2, "but for the two of contexts")
	texts := map[string]bool{}
	for _, err := range sentinels {
		texts[err.Error()] = true
	}
	for _, text := range found.sentinels {
		require.True(t, texts[text], "the error %q has no number", text)
	}
}

type declarations struct {
	methods   map[string][]string // receivers by method
	sentinels []string            // texts
}

// declared finds the methods of a package and the errors among its variables.
func declared(t *testing.T, folder string) declarations {
	t.Helper()
	found := declarations{methods: map[string][]string{}}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			found.add(d)
		}
	}
	return found
}

func (found *declarations) add(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return
		}
		receiver := d.Recv.List[0].Type
		if star, ok := receiver.(*ast.StarExpr); ok {
			receiver = star.X
		}
		if name, ok := receiver.(*ast.Ident); ok {
			found.methods[d.Name.Name] = append(found.methods[d.Name.Name], name.Name)
		}
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return
		}
		ast.Inspect(d, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			function, isSelector := call.Fun.(*ast.SelectorExpr)
			text, isText := call.Args[0].(*ast.BasicLit)
			if isSelector && isText && function.Sel.Name == "New" {
				found.sentinels = append(found.sentinels, strings.Trim(text.Value, `"`))
			}
			return true
		})
	}
}

// TestKeys holds our own messages to keys that stay, and key 0 to the address
// of who waits.
func TestKeys(t *testing.T) {
	t.Parallel()
	ours := reflect.TypeFor[Codec]().PkgPath()
	typeOfPID := reflect.TypeFor[*actor.PID]()
	for typ := range wireKinds.forms {
		if typ.Kind() != reflect.Struct || typ.PkgPath() != ours {
			continue
		}
		var keys []string
		for field := range typ.Fields() {
			key, asNumber := strings.CutSuffix(strings.SplitAfterN(field.Tag.Get("cbor")+",", ",keyasint,", 2)[0], ",keyasint,")
			require.True(t, asNumber, "%s.%s has no number", typ, field.Name)
			require.NotContains(t, keys, key, "%s.%s", typ, field.Name)
			keys = append(keys, key)
		}
		_, waits := reflect.Zero(typ).Interface().(asker)
		if waits {
			field, _ := typ.FieldByName("Replies")
			require.Equal(t, typeOfPID, field.Type, typ)
			require.Equal(t, "0,keyasint,omitempty", field.Tag.Get("cbor"), typ)
		}
		require.Equal(t, waits, slices.Contains(keys, "0"), "%s: key 0 is for who waits", typ)
	}
}
