package browser

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "write the screenshots anew")

const screenshots = "../../../../docs/screenshots"

// maxScreenshot is how many bytes a picture in the repository may have.
const maxScreenshot = 200 << 10

const screenshotWidth = 1200

// views are the pictures: a name, an address, and what is true when all is drawn.
var views = []struct{ name, hash, ready string }{
	{"overview", "#/", `document.querySelectorAll('.containers tbody tr').length > 9 && [...document.querySelectorAll('.spark')].every((c) => c.hidden || c.toDataURL().length > 500)`},
	{"logs", "#/c/checkout", `document.querySelectorAll('.line').length > 200 && document.querySelector('.value') && document.querySelector('.marks button')`},
	{"merged", "#/g/shop", `document.querySelectorAll('.line').length > 200`},
	{"routes", "#/routes", `document.querySelectorAll('.route').length === 2 && (document.querySelector('.route details').open = true) && document.querySelectorAll('.route tbody tr').length > 9`},
}

// TestScreenshots takes the pictures that the README shows, or looks whether they
// are there.
func TestScreenshots(t *testing.T) {
	if *update {
		takeScreenshots(t)
	}
	for _, view := range views {
		for _, theme := range []string{"light", "dark"} {
			picture, err := os.ReadFile(filepath.Join(screenshots, view.name+"-"+theme+".png"))
			if err != nil {
				t.Fatalf("%v; make test-page UPDATE=-update writes it", err)
			}
			if len(picture) > maxScreenshot {
				t.Errorf("%s-%s.png has %d bytes, more than %d", view.name, theme, len(picture), maxScreenshot)
			}
			if config, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil || config.Width != screenshotWidth {
				t.Errorf("%s-%s.png is %d pixels wide, want %d: %v", view.name, theme, config.Width, screenshotWidth, err)
			}
		}
	}
}

func takeScreenshots(t *testing.T) {
	t.Helper()
	browser := newBrowser(t)
	a := startAgent(t)
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, view := range views {
		for _, theme := range []string{"light", "dark"} {
			var picture []byte
			p := open(t, browser, a.url(view.hash), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}), chromedp.EmulateViewport(screenshotWidth, 700))
			p.wait(view.ready)
			p.do(chromedp.CaptureScreenshot(&picture))
			if err := os.WriteFile(filepath.Join(screenshots, view.name+"-"+theme+".png"), smaller(t, picture), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// smaller encodes a picture with its 256 most frequent colours: the edges of letters
// have a few more, which are like others.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[color.Color]int)
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			times[full.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(times), func(a, b color.Color) int { return times[b] - times[a] })
	palette := color.Palette(colours[:min(len(colours), 256)])
	index := make(map[color.Color]uint8, len(times))
	for c := range times {
		index[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, index[full.At(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
