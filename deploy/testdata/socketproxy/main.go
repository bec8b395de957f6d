// Command socketproxy stands in for the socket proxy of the strict profile: it
// understands those of its flags that strict.yaml gives, lets through what they
// allow, and writes every request and what became of it to its output.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
)

const socket = "/var/run/docker.sock"

func main() {
	listenIP := flag.String("listenip", "127.0.0.1", "address to listen on")
	from := flag.String("allowfrom", "127.0.0.1", "host whose requests are answered")
	allowed := map[string]*string{
		http.MethodHead: flag.String("allowHEAD", "", "pattern of the paths that HEAD may ask for"),
		http.MethodGet:  flag.String("allowGET", "", "pattern of the paths that GET may ask for"),
	}
	flag.Parse()
	patterns := make(map[string]*regexp.Regexp)
	for method, pattern := range allowed {
		patterns[method] = regexp.MustCompile("^" + *pattern + "$")
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.FlushInterval = -1
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verdict := "refused"
		pattern := patterns[r.Method]
		if comesFrom(r, *from) && pattern != nil && pattern.MatchString(r.URL.Path) {
			verdict = "allowed"
		}
		fmt.Printf("%s %s %s\n", verdict, r.Method, r.URL.Path)
		if verdict == "refused" {
			http.Error(w, "this is not allowed", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	log.Fatal(http.ListenAndServe(net.JoinHostPort(*listenIP, "2375"), handler))
}

// comesFrom reports whether a request comes from a host.
func comesFrom(r *http.Request, host string) bool {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	known, err := net.DefaultResolver.LookupHost(r.Context(), host)
	return err == nil && slices.Contains(known, ip)
}
