package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"time"

	"github.com/chatopshub/chatopshub/domain"
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

// plot is one of the pictures of a report.
type plot struct {
	title  string
	labels []string
	format func(float64) string
	curves []curve
}

// drawReport draws conversations and response times by day, and response times
// by hour, as SVG.
func drawReport(title string, days domain.Days, report *domain.Report, hours [24]domain.Mean) []byte {
	var labels []string
	byDay := map[domain.Day]*domain.Figures{}
	for i := range report.Daily {
		byDay[report.Daily[i].Day] = &report.Daily[i].Figures
	}
	var had, completed, first, response []float64
	for day := days.First; day.Compare(days.Last) <= 0; day = day.Plus(1) {
		f := byDay[day]
		if f == nil {
			f = &domain.Figures{}
		}
		labels = append(labels, day.String()[5:])
		had, completed = append(had, float64(f.Conversations)), append(completed, float64(f.Completed))
		first, response = append(first, seconds(f.FirstResponse)), append(response, seconds(f.Response))
	}
	var hourLabels []string
	var byHour []float64
	for hour, m := range hours {
		hourLabels, byHour = append(hourLabels, fmt.Sprintf("%02d", hour)), append(byHour, seconds(m))
	}
	count := func(v float64) string { return fmt.Sprintf("%.4g", v) }
	took := func(v float64) string { return time.Duration(v * float64(time.Second)).Round(time.Second).String() }
	return draw(title, []plot{
		{"Conversations by day", labels, count, []curve{{"had", "#7aa6c2", true, had}, {"completed", "#d95f02", false, completed}}},
		{"Response times by day, average", labels, took, []curve{{"first response", "#1b7837", false, first}, {"response", "#762a83", false, response}}},
		{"Response times by hour (UTC), average", hourLabels, took, []curve{{"response", "#7aa6c2", true, byHour}}},
	})
}

// seconds is an average; NaN of nothing.
func seconds(m domain.Mean) float64 {
	if m.Count == 0 {
		return math.NaN()
	}
	return float64(m.Sum) / float64(m.Count) / 1000
}

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
	most := p.axis(b, top)
	step := float64(plotWidth) / float64(len(p.labels))
	every := (len(p.labels) + 11) / 12
	for i, label := range p.labels {
		if i%every == 0 {
			write(b, plotLeft+(float64(i)+0.5)*step, top+plotHeight+18, `text-anchor="middle" fill="#555"`, label)
		}
	}
	legend := float64(pictureWidth - 30)
	for _, s := range p.curves {
		s.draw(b, top, step, most)
		write(b, legend, top-14, fmt.Sprintf(`text-anchor="end" fill="%s"`, s.color), "■ "+s.name)
		legend -= 24 + 7*float64(len(s.name))
	}
}

// axis draws the lines behind the values and returns the value of the uppermost.
func (p *plot) axis(b *bytes.Buffer, top float64) float64 {
	most := 0.0
	for _, s := range p.curves {
		for _, v := range s.values {
			if v > most { // never true of NaN
				most = v
			}
		}
	}
	const lines = 4
	most = roundUp(most/lines) * lines
	for i := range lines + 1 {
		y := top + plotHeight - plotHeight*float64(i)/lines
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, y, plotLeft+plotWidth, y)
		write(b, plotLeft-8, y+4, `text-anchor="end" fill="#555"`, p.format(most*float64(i)/lines))
	}
	return most
}

// roundUp is the least of 1, 2, 5, 10, 20, 50 … that isn't less than v.
func roundUp(v float64) float64 {
	if v <= 1 {
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
func (s *curve) draw(b *bytes.Buffer, top, step, most float64) {
	path, pen := "", "M"
	for i, v := range s.values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		x, h := plotLeft+(float64(i)+0.5)*step, plotHeight*v/most
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
