// Makes a viewer's token: go run mint.go VIEWER_KEY NAMESPACE PATH SECONDS (VIEWER_KEY is the first line of viewer.key).
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"time"
)

func head(major byte, number uint64) []byte {
	wide := binary.BigEndian.AppendUint64(nil, number)
	switch {
	case number < 24:
		return []byte{major<<5 | byte(number)}
	case number < 1<<8:
		return append([]byte{major<<5 | 24}, wide[7:]...)
	case number < 1<<16:
		return append([]byte{major<<5 | 25}, wide[6:]...)
	case number < 1<<32:
		return append([]byte{major<<5 | 26}, wide[4:]...)
	}
	return append([]byte{major<<5 | 27}, wide...)
}

func number(value uint64) []byte { return head(0, value) }
func octets(value []byte) []byte { return append(head(2, uint64(len(value))), value...) }
func text(value string) []byte   { return append(head(3, uint64(len(value))), value...) }

// An array (major type 4) or, of keys and values in turn, a map (5).
func several(major byte, items ...[]byte) []byte {
	count := len(items) / int(major-3)
	whole := head(major, uint64(count))
	for _, item := range items {
		whole = append(whole, item...)
	}
	return whole
}

func mint(viewerKey, namespace, path string, seconds uint64) string {
	secret, _ := base64.RawURLEncoding.DecodeString(viewerKey)
	sum, id, now := sha256.Sum256(secret), make([]byte, 8), uint64(time.Now().Unix())
	_, _ = rand.Read(id)
	kid := hex.EncodeToString(sum[:4])
	catu := several(5, number(3), several(5, number(1), text(path)))
	claims := several(5, number(3), text(namespace), number(4), number(now+seconds), number(6), number(now),
		number(7), octets(id), number(310), number(1), number(312), catu)
	protected, payload := octets(several(5, number(1), number(5))), octets(claims)
	mac := hmac.New(sha256.New, secret)
	mac.Write(several(4, text("MAC0"), protected, octets(nil), payload))
	sealed := several(4, protected, several(5, number(4), octets([]byte(kid))), payload, octets(mac.Sum(nil)))
	return base64.RawURLEncoding.EncodeToString(append([]byte{0xd8, 61, 0xd1}, sealed...))
}

func main() {
	seconds, _ := strconv.ParseUint(os.Args[4], 10, 64)
	fmt.Println(mint(os.Args[1], os.Args[2], os.Args[3], seconds))
}
