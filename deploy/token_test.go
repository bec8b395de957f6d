package deploy

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenFile runs the image as README.md says, with a token in a file of root.
// The page is there for the token as a password, and a command in the container
// needs none.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	loadImage(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	agent := runContainer(t, "token", []string{
		"--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges", "-v", engineSocket + ":" + engineSocket + ":ro",
		"-v", file + ":/token:ro", "-e", "TALLYMAN_AUTH_TOKEN_FILE=/token", "--tmpfs", "/var/lib/tallyman", "-p", "127.0.0.1:0:80",
	}, testImage)
	address, _, _ := strings.Cut(strings.TrimSpace(run(t, "docker", "port", agent, "80/tcp")), "\n")
	waitHealthy(t, address)
	f := func(password string, want int) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			request.SetBasicAuth("anyone", password)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		asks := strings.HasPrefix(strings.Join(response.Header.Values("WWW-Authenticate"), "\n"), "Bearer ") &&
			strings.Contains(strings.Join(response.Header.Values("WWW-Authenticate"), "\n"), "\nBasic ")
		if response.StatusCode != want || asks != (want == http.StatusUnauthorized) {
			t.Errorf("with the password %q the page is answered with %d, want %d; it is asked for: %v", password, response.StatusCode, want, asks)
		}
	}
	f("", http.StatusUnauthorized)
	f("wrong", http.StatusUnauthorized)
	f("s3cret", http.StatusOK)
	if out := run(t, "docker", "exec", agent, "/tallyman", "ps"); !strings.Contains(out, agent) {
		t.Errorf("a command in the container does not name it:\n%s", out)
	}
}
