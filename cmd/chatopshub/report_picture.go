package main

import (
	"fmt"
	"math"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

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
		{"Conversations by day", labels, count, []curve{{"had", "#7aa6c2", true, had}, {"completed", "#d95f02", false, completed}}, false},
		{"Response times by day, average", labels, took, []curve{{"first response", "#1b7837", false, first}, {"response", "#762a83", false, response}}, false},
		{"Response times by hour (UTC), average", hourLabels, took, []curve{{"response", "#7aa6c2", true, byHour}}, false},
	})
}

// seconds is an average; NaN of nothing.
func seconds(m domain.Mean) float64 {
	if m.Count == 0 {
		return math.NaN()
	}
	return float64(m.Sum) / float64(m.Count) / 1000
}
