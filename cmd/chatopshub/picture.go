package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// The picture's measures, in pixels.
const (
	pictureWidth = 960
	plotLeft     = 70
	plotWidth    = pictureWidth - plotLeft - 30
	plotHeight   = 170
	plotStep     = 260 // from one plot to the next
)

// curve is one line or row of bars of a plot.
type curve struct {
	name   string
	color  string
	bars   bool
	values []float64 // NaN: nothing there
}

// plot is one of the plots of a picture.
type plot struct {
	title       string
	labels      []string
	format      func(float64) string
	curves      []curve
	logarithmic bool // lines at powers of ten
}

// draw draws plots below one another, as SVG.
func draw(title string, plots []plot) []byte {
	var b bytes.Buffer
	height := 60 + plotStep*len(plots)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		pictureWidth, height, pictureWidth, height)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	write(&b, plotLeft, 34, `font-size="18"`, title)
	for i := range plots {
		plots[i].draw(&b, 90+float64(i*plotStep))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func write(b *bytes.Buffer, x, y float64, attributes, text string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" %s>`, x, y, attributes)
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes everything
	b.WriteString("</text>\n")
}

// draw draws the plot with its upper edge at top.
func (p *plot) draw(b *bytes.Buffer, top float64) {
	write(b, plotLeft, top-14, `font-weight="bold"`, p.title)
	scale := p.axis(b, top)
	step := float64(plotWidth) / float64(len(p.labels))
	every := (len(p.labels) + 11) / 12
	for i, label := range p.labels {
		if i%every == 0 {
			write(b, plotLeft+(float64(i)+0.5)*step, top+plotHeight+18, `text-anchor="middle" fill="#555"`, label)
		}
	}
	legend := float64(pictureWidth - 30)
	for _, s := range p.curves {
		s.draw(b, top, step, scale)
		write(b, legend, top-14, fmt.Sprintf(`text-anchor="end" fill="%s"`, s.color), "■ "+s.name)
		legend -= 24 + 7*float64(len(s.name))
	}
}

// axis draws the lines behind the values and returns their scale.
func (p *plot) axis(b *bytes.Buffer, top float64) scale {
	s := p.scale()
	for i := range s.steps + 1 {
		y := top + plotHeight - plotHeight*float64(i)/float64(s.steps)
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, y, plotLeft+plotWidth, y)
		write(b, plotLeft-8, y+4, `text-anchor="end" fill="#555"`, p.format(s.at(float64(i)/float64(s.steps))))
	}
	return s
}

// scale says how high a value is drawn.
type scale struct {
	least, most float64 // of a logarithmic one: powers of ten
	logarithmic bool
	steps       int // between its lines
}

// scale is one that has room for all values of the plot.
func (p *plot) scale() scale {
	least, most := math.Inf(1), 0.0
	for _, s := range p.curves {
		for _, v := range s.values { // no comparison is true of NaN
			if v > most {
				most = v
			}
			if v > 0 && v < least {
				least = v
			}
		}
	}
	if !p.logarithmic {
		const lines = 4
		return scale{most: roundUp(most/lines) * lines, steps: lines}
	}
	if most == 0 {
		least, most = 1, 1
	}
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	high = max(high, low+1)
	return scale{least: low, most: high, logarithmic: true, steps: int(high - low)}
}

// share is how high a value is, 0 to 1.
func (s scale) share(v float64) float64 {
	if !s.logarithmic {
		return v / s.most
	}
	if v <= 0 {
		return 0
	}
	return (math.Log10(v) - s.least) / (s.most - s.least)
}

// at is the value at a height of 0 to 1.
func (s scale) at(share float64) float64 {
	if s.logarithmic {
		return math.Pow(10, s.least+share*(s.most-s.least))
	}
	return s.most * share
}

// roundUp is the least of … 1, 2, 5, 10, 20, 50 … that isn't less than v.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	magnitude := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*magnitude {
			return m * magnitude
		}
	}
	return 10 * magnitude
}

// draw draws bars, or a line with a dot for each value; a gap where there is
// none.
func (s *curve) draw(b *bytes.Buffer, top, step float64, on scale) {
	path, pen := "", "M"
	for i, v := range s.values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		x, h := plotLeft+(float64(i)+0.5)*step, plotHeight*on.share(v)
		y := top + plotHeight - h
		if s.bars {
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x-step*0.35, y, step*0.7, h, s.color)
			continue
		}
		path += fmt.Sprintf("%s%.1f %.1f", pen, x, y)
		pen = "L"
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`+"\n", x, y, s.color)
	}
	if path != "" {
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path, s.color)
	}
}
