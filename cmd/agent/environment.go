package agent

import (
	"net"
	"os"
	"strings"

	"tallyman/collector/engine"
)

// hostHostname is the file by which a container is told its host's name, as
// Logspout has it.
const hostHostname = "/etc/host_hostname"

// environment finds variables. Those that Logspout reads mean here what they mean
// there.
type environment struct {
	lookup func(string) (string, bool)
	// hostFile is hostHostname but in tests.
	hostFile string
}

func (e environment) get(name string) string {
	v, _ := e.Lookup(name)
	return v
}

// Lookup finds a variable. The host's name that a file tells stands for the host
// name of syslog messages.
func (e environment) Lookup(name string) (string, bool) {
	if name == "SYSLOG_HOSTNAME" {
		if host := e.hostname(); host != "" {
			return host, true
		}
	}
	return e.lookup(name)
}

// hostname returns the host's name as a file tells it, empty where there is none.
func (e environment) hostname() string {
	text, err := os.ReadFile(e.hostFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// agentHost returns the host's name as a file tells it, empty where the file has
// none or a template of one.
func (e environment) agentHost() string {
	if name := e.hostname(); !strings.Contains(name, "{{") {
		return name
	}
	return ""
}

// remarks tell of variables of Logspout's that mean nothing here.
func (e environment) remarks() []string {
	if e.get("RETRY_COUNT") == "" {
		return nil
	}
	return []string{"RETRY_COUNT means nothing: a route tries for ever, and the lines wait in their logs"}
}

// listen returns the address that Logspout's variables ask for, empty when none
// is set. Its defaults are port 80 and all addresses.
func (e environment) listen() string {
	host, port := e.get("HTTP_BIND_ADDRESS"), e.get("PORT")
	if port == "" {
		port = e.get("HTTP_PORT")
	}
	if host == "" && port == "" {
		return ""
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(host, port)
}

// The engine's socket, and where Logspout's users mount it.
const (
	usualSocket    = "/var/run/docker.sock"
	logspoutSocket = "/tmp/docker.sock"
)

// engine reads the variables of Docker's own client.
func (e environment) engine() engine.Options {
	o := engine.Options{
		Host:       e.get("DOCKER_HOST"),
		APIVersion: e.get("DOCKER_API_VERSION"),
		CertPath:   e.get("DOCKER_CERT_PATH"),
		TLSVerify:  e.get("DOCKER_TLS_VERIFY") != "",
	}
	if home := e.get("HOME"); o.TLSVerify && o.CertPath == "" && home != "" {
		o.CertPath = home + "/.docker"
	}
	if o.Host == "" && !exists(usualSocket) && exists(logspoutSocket) {
		o.Host = "unix://" + logspoutSocket
	}
	return o
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
