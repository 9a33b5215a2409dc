package vault

import (
	"fmt"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/secret"
)

func TestCache(t *testing.T) {
	at := time.Unix(1e9, 0)
	c := newCache(3, TTL, func() time.Time { return at })
	aead := secret.AEAD(make([]byte, keyBytes))
	load := func(user string) { c.put(user, aead, c.begin()) }
	for i := range 10 {
		load(fmt.Sprint(i))
		if i == 8 {
			c.get("7") // used: 8 is older from now on
		}
	}
	if c.len() != 3 || c.get("9") == nil || c.get("7") == nil || c.get("0") != nil {
		t.Errorf("%d are kept, and not the ones used last", c.len())
	}
	load("10")
	if c.get("8") != nil || c.get("7") == nil {
		t.Error("not the least recently used one went")
	}
	at = at.Add(TTL - 1)
	if c.get("7") == nil {
		t.Error("it is gone too early")
	}
	at = at.Add(1)
	if c.get("7") != nil {
		t.Error("it is kept too long")
	}
	// A key's age is counted from when reading began, and using it does not prolong it.
	l := c.begin()
	at = at.Add(TTL)
	c.put("slow", aead, l)
	if c.get("slow") != nil {
		t.Error("a key that was read slowly is too old, and kept")
	}
	// What was being read while it was dropped is not kept.
	l = c.begin()
	c.drop("x")
	c.put("x", aead, l)
	if c.get("x") != nil {
		t.Error("a dropped key came back")
	}
	load("x")
	load("x")
	c.drop("x")
	if c.get("x") != nil {
		t.Error("it was not dropped")
	}
}
