package principal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

var (
	now     = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	expires = now.Add(time.Minute)
	ada     = Principal{Kind: User, ID: "u-1", Roles: []string{"auditor", "clerk"}, Session: "s-1"}
)

func place() Message {
	return Message{CommandID: "c-1", Type: "order.v1.PlaceOrder", Stream: "o-1", ContentType: "application/json",
		Time: now, ExpectedVersion: 3, Variant: "b", Body: []byte(`{"customer":"u-1"}`)}
}

func keyring(t testing.TB, ids ...string) *Keyring {
	t.Helper()
	var parts []string
	for _, id := range ids {
		parts = append(parts, id+":"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat(id[:1], 32))))
	}
	keys, err := secret.ParseKeys(strings.Join(parts, ","))
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k *Keyring, p Principal, m Message) []byte {
	t.Helper()
	h, err := k.Sign(p, &m, expires)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhatIsSignedIsVerified(t *testing.T) {
	k := keyring(t, "a")
	for _, p := range []Principal{
		ada,
		{Kind: User, ID: "u-2"},
		{Kind: Service, ID: "react", Roles: []string{"admin"}},
	} {
		m := place()
		got, err := k.Verify(sign(t, k, p, m), &m, now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got); diff != "" {
			t.Error(diff)
		}
	}
}

// The bytes of the header, and those that are signed, must stay: processors of different versions run side by side. The
// values were made by another program from docs/format/principal.md.
func TestGoldenBytes(t *testing.T) {
	k, m := keyring(t, "a"), place()
	const want = "v1;key=a;user=u-1;roles=auditor,clerk;session=s-1;expires=1777636860;mac=2NWHVxkFvHTH1IWdov-nG-0fWgxMQuHodGXGcxJW1nA"
	if got := string(sign(t, k, ada, m)); got != want {
		t.Errorf("the header is\n%s, want\n%s", got, want)
	}
	const signed = "63717273666c6f77207072696e636970616c2076310a00000001610000000069f495fc000000047573657200000003752d3100000003732d31000000" +
		"020000000761756469746f7200000005636c65726b00000003632d31000000136f726465722e76312e506c6163654f72646572000000036f2d310000" +
		"00106170706c69636174696f6e2f6a736f6e010000000069f495c00000000000000000000000030000000162478781d32cd0bfce77964b2ee8759e7a" +
		"0cbcfb17454a9c4870422c3e17b4e04a"
	if got := fmt.Sprintf("%x", appendSigned(nil, &m, &ada, "a", expires.Unix())); got != signed {
		t.Errorf("signed are\n%s, want\n%s", got, signed)
	}
}

// Each field of the message, changed alone, breaks the signature. Fields are found by reflection: one that is added and
// not signed fails here.
func TestEveryFieldIsSigned(t *testing.T) {
	k, m := keyring(t, "a"), place()
	h := sign(t, k, ada, m)
	for i := range reflect.TypeFor[Message]().NumField() {
		changed := place()
		switch f := reflect.ValueOf(&changed).Elem().Field(i); v := f.Interface().(type) {
		case string:
			f.SetString(v + "x")
		case event.StreamID:
			f.SetString(string(v) + "x")
		case event.Version:
			f.SetInt(int64(v) + 1)
		case time.Time:
			f.Set(reflect.ValueOf(v.Add(time.Nanosecond)))
		case []byte:
			f.SetBytes(append(slices.Clone(v), ' '))
		default:
			t.Fatalf("a field of type %T: say here how to change it", v)
		}
		if p, err := k.Verify(h, &changed, now); !errors.Is(err, ErrSignature) || p.Kind != Anonymous {
			t.Errorf("%s changed: %v, %v", reflect.TypeFor[Message]().Field(i).Name, p, err)
		}
	}
	for _, zero := range []func(*Message){
		func(m *Message) { m.Time = time.Time{} },
		func(m *Message) { m.ExpectedVersion = event.AnyVersion },
		func(m *Message) { m.Variant = "" },
		func(m *Message) { m.Body = nil },
		// The border between two fields moves.
		func(m *Message) { m.CommandID, m.Type = m.CommandID+"o", m.Type[1:] },
		func(m *Message) { m.Variant, m.ContentType = "", m.ContentType+m.Variant },
	} {
		changed := place()
		zero(&changed)
		if _, err := k.Verify(h, &changed, now); !errors.Is(err, ErrSignature) {
			t.Errorf("%+v: %v", changed, err)
		}
	}
	// Another zone is the same time.
	same := place()
	same.Time = same.Time.In(time.FixedZone("x", 3600))
	if _, err := k.Verify(h, &same, now); err != nil {
		t.Error(err)
	}
}

func TestEveryPartOfTheHeaderIsSigned(t *testing.T) {
	k, m := keyring(t, "a", "b"), place()
	h := string(sign(t, k, ada, m))
	for _, change := range [][2]string{
		{"key=a", "key=b"},
		{"user=u-1", "user=u-2"},
		{"user=u-1", "service=u-1"},
		{"roles=auditor,clerk", "roles=admin,auditor,clerk"},
		{"roles=auditor,clerk", "roles="},
		{"roles=auditor,clerk", "roles=auditor"},
		{"session=s-1", "session=s-2"},
		{"session=s-1", "session="},
		{"expires=1777636860", "expires=1877636860"},
	} {
		changed := strings.Replace(h, change[0], change[1], 1)
		if changed == h {
			t.Fatalf("%s is not in %s", change[0], h)
		}
		if p, err := k.Verify([]byte(changed), &m, now); !errors.Is(err, ErrSignature) || !Refused(err) || p.Kind != Anonymous {
			t.Errorf("%s for %s: %v, %v", change[1], change[0], p, err)
		}
	}
}

func TestOneCanonicalForm(t *testing.T) {
	k, m := keyring(t, "a"), place()
	h := string(sign(t, k, ada, m))
	last := h[len(h)-1]
	other := h[:len(h)-1] + string(rune(last+1)) // the last digit has two bits that mean nothing
	for _, changed := range []string{
		" " + h, h + " ", h + ";", h + "=", strings.Replace(h, "v1", "v2", 1), strings.Replace(h, "v1;", "", 1),
		strings.Replace(h, "expires=", "expires=0", 1), strings.Replace(h, "expires=", "expires=+", 1), strings.Replace(h, "expires=", "expires=-", 1),
		strings.Replace(h, "auditor,clerk", "clerk,auditor", 1), strings.Replace(h, "clerk", "clerk,clerk", 1), strings.Replace(h, "clerk", "clerk,", 1),
		strings.Replace(h, "clerk", "Clerk", 1), strings.Replace(h, "user=u-1", "user=", 1), strings.Replace(h, "user=u-1", "root=u-1", 1), strings.Replace(h, "user=u-1", "user", 1),
		strings.Replace(h, "key=", "kid=", 1), other, "v1", strings.Repeat("x", MaxHeader+1), h + strings.Repeat("A", MaxHeader),
	} {
		if p, err := k.Verify([]byte(changed), &m, now); !errors.Is(err, event.ErrMalformed) || !Refused(err) || p.Kind != Anonymous {
			t.Errorf("%.100s: %v, %v", changed, p, err)
		}
	}
}

func TestKeysChangeWithAnOverlap(t *testing.T) {
	m := place()
	before, during, after := keyring(t, "a"), keyring(t, "b", "a"), keyring(t, "b")
	old, fresh := sign(t, before, ada, m), sign(t, during, ada, m)
	for _, tc := range []struct {
		name string
		k    *Keyring
		h    []byte
		want error
	}{
		{"old, during", during, old, nil},
		{"new, during", during, fresh, nil},
		{"new, after", after, fresh, nil},
		{"old, after", after, old, ErrUnknownKey},
		{"new, before", before, fresh, ErrUnknownKey},
	} {
		if _, err := tc.k.Verify(tc.h, &m, now); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	// The same name, another key.
	keys, err := secret.ParseKeys("a:" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("z", 32))))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Verify(old, &m, now); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
	if _, err := NewKeyring(secret.Keys{}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

func TestExpiry(t *testing.T) {
	k, m := keyring(t, "a"), place()
	h := sign(t, k, ada, m)
	if _, err := k.Verify(h, &m, expires); err != nil {
		t.Error(err)
	}
	if _, err := k.Verify(h, &m, expires.Add(time.Second)); !errors.Is(err, ErrExpired) {
		t.Error(err)
	}
	if _, err := k.Sign(ada, &m, time.Time{}); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
}

func TestNobodySigned(t *testing.T) {
	m := place()
	if p, err := keyring(t, "a").Verify(nil, &m, now); err != nil || p.String() != "anonymous" || p.Kind != Anonymous {
		t.Errorf("%v, %v", p, err)
	}
}

func TestPrincipalsThatCannotBeSigned(t *testing.T) {
	k, m := keyring(t, "a"), place()
	roles := make([]string, MaxRoles+1)
	for i := range roles {
		roles[i] = fmt.Sprintf("r%d", i)
	}
	for _, p := range []Principal{
		{}, {Kind: "root", ID: "u-1"}, {Kind: User}, {Kind: User, ID: "u;1"}, {Kind: User, ID: "u-1", Session: "s=1"},
		{Kind: User, ID: "u-1", Roles: []string{"a,b"}}, {Kind: User, ID: "u-1", Roles: []string{""}},
		{Kind: User, ID: "u-1", Roles: []string{strings.Repeat("r", MaxRole+1)}}, {Kind: User, ID: "u-1", Roles: roles},
	} {
		if h, err := k.Sign(p, &m, expires); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%+v: %s, %v", p, h, err)
		}
	}
	unsorted := ada
	unsorted.Roles = []string{"clerk", "auditor", "clerk"}
	if p, err := k.Verify(sign(t, k, unsorted, m), &m, now); err != nil || !cmp.Equal(p, ada) {
		t.Errorf("%+v, %v", p, err)
	}
	if unsorted.Roles[0] != "clerk" {
		t.Error("the caller's roles were sorted")
	}
}

func TestTheLongestHeader(t *testing.T) {
	p := Principal{Kind: Service, ID: strings.Repeat("u", event.MaxStreamID), Session: strings.Repeat("s", event.MaxStreamID)}
	for i := range MaxRoles {
		p.Roles = append(p.Roles, fmt.Sprintf("%0*d", MaxRole, i))
	}
	k, m := keyring(t, strings.Repeat("k", secret.MaxKeyID)), place()
	h, err := k.Sign(p, &m, time.Unix(1<<62, 0))
	if err != nil {
		t.Fatal(err)
	}
	if len(h) > MaxHeader {
		t.Errorf("it has %d bytes", len(h))
	}
	if got, err := k.Verify(h, &m, now); err != nil || !cmp.Equal(got, p) {
		t.Error(err)
	}
}

func TestDifferentMessagesAreSignedAsDifferentBytes(t *testing.T) {
	message := rapid.Custom(func(t *rapid.T) Message {
		// Few letters, so that borders that move give the same text.
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00")), 0, 3, -1)
		return Message{CommandID: text.Draw(t, "id"), Type: text.Draw(t, "type"), Stream: event.StreamID(text.Draw(t, "stream")),
			ContentType: text.Draw(t, "content"), Variant: text.Draw(t, "variant"), Body: []byte(text.Draw(t, "body")),
			ExpectedVersion: event.Version(rapid.Int64Range(-1, 2).Draw(t, "version"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := message.Draw(t, "a"), message.Draw(t, "b")
		same := string(appendSigned(nil, &a, &ada, "a", 1)) == string(appendSigned(nil, &b, &ada, "a", 1))
		if same != cmp.Equal(a, b) {
			t.Errorf("%+v and %+v", a, b)
		}
	})
}

func FuzzVerify(f *testing.F) {
	k, m := keyring(f, "a"), place()
	h := sign(f, k, ada, m)
	f.Add(h)
	f.Add([]byte("v1;key=a;user=;roles=;session=;expires=1;mac="))
	f.Fuzz(func(t *testing.T, value []byte) {
		parsed, err := parse(value)
		if err == nil && string(parsed.append(nil)) != string(value) {
			t.Errorf("%q is read as %q", value, parsed.append(nil))
		}
		p, err := k.Verify(value, &m, now)
		switch {
		case string(value) == string(h):
			if err != nil {
				t.Error(err)
			}
		case len(value) > 0 && (err == nil || p.Kind != Anonymous || !Refused(err)):
			t.Errorf("%q: %v, %v", value, p, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	k, m := keyring(b, "a"), place()
	h := sign(b, k, ada, m)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(h, &m, now); err != nil {
			b.Fatal(err)
		}
	}
}
