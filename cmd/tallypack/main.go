// Command tallypack makes what a release consists of out of a binary: the
// container image and the bill of materials. Equal input gives equal bytes, on
// any machine, and neither an engine nor a registry is needed.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"
)

const helpText = `tallypack makes what a release consists of.

Usage:
  tallypack image --binary FILE --ca FILE --out FILE [flags]   write an image for docker load, also an OCI layout
  tallypack sbom --binary FILE --out FILE [flags]              write the bill of materials of a binary, CycloneDX 1.5

Flags:
`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "tallypack: %v\n", err)
		os.Exit(1)
	}
}

// run runs a command. A file that could not be written completely is removed.
func run(args []string, stdout io.Writer) error {
	var (
		o               imageOptions
		binary, ca, out string
		created         int64
		write           func(io.Writer) error
	)
	flags := pflag.NewFlagSet("tallypack", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&binary, "binary", "", "the agent's static binary")
	flags.StringVar(&ca, "ca", "", "PEM file of the certificate authorities to trust")
	flags.StringVar(&out, "out", "", "file to write")
	flags.StringVar(&o.arch, "arch", "amd64", "processor, as Go names it")
	flags.StringVar(&o.version, "version", "unreleased", "version of the release")
	flags.StringVar(&o.commit, "commit", "", "commit of the sources")
	flags.StringSliceVar(&o.tags, "tag", nil, "name:tag of the image; may be repeated")
	flags.Int64Var(&created, "created", 0, "time of everything in it, in seconds since the epoch")
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		_, err := io.WriteString(stdout, helpText+flags.FlagUsages())
		return err
	}
	if err != nil {
		return err
	}
	o.created = time.Unix(created, 0).UTC()
	if flags.NArg() != 1 || binary == "" || out == "" {
		return errors.New("want one command, image or sbom, with --binary and --out; see --help")
	}
	switch flags.Arg(0) {
	case "image":
		if o.binary, err = os.ReadFile(binary); err != nil {
			return err
		}
		if o.certificates, err = os.ReadFile(ca); err != nil {
			return err
		}
		write = func(w io.Writer) error { return writeImage(w, o) }
	case "sbom":
		write = func(w io.Writer) error { return writeSBOM(w, binary, o.version, o.created) }
	default:
		return fmt.Errorf("unknown command %q; known are image, sbom", flags.Arg(0))
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %q: %w", out, err), os.Remove(out))
	}
	return nil
}
