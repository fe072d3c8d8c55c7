/** What a part of the benchmark tells: tables in Markdown, and bars of the picture. */

import { writeFileSync } from 'node:fs'
import { table } from './numbers.js'

/**
 * `bars` are charts of the picture; where little is good, as with CPU, `unit` says so.
 * @typedef {{ heads: string[], rows: string[][], title?: string }} Table
 * @typedef {{ label: string, value: number, ours?: boolean }} Bar
 * @typedef {{ title: string, bars: Bar[] }} Chart
 * `short`: what is worth telling in one line each, with its figure.
 * @typedef {{ title: string, note?: string, tables: Table[], bars?: Chart[], short?: [string, string][] }} Part
 */

/** @param {Part} part */
export function markdown({ title, note, tables }) {
  const texts = tables.map(
    ({ title: name, heads, rows }) => `${name === undefined ? '' : `${name}\n\n`}${table(heads, rows)}`,
  )
  return [`## ${title}`, ...(note === undefined ? [] : [note]), ...texts].join('\n\n')
}

const [WIDTH, LABELS, VALUES, BAR, GAP, HEAD] = [820, 250, 70, 18, 6, 46]

/** Writes the picture: a panel of bars for each chart. @param {string | URL} file @param {Chart[]} charts @param {string} setting */
export function writePicture(file, charts, setting) {
  let y = 12
  const panels = charts.map(({ title, bars }) => {
    const most = Math.max(...bars.map(({ value }) => value))
    const head = `<text x="12" y="${y + 18}" class="head">${escaped(title)}</text>`
    y += HEAD - 16
    const rows = bars.map(({ label, value, ours }) => {
      const width = Math.max(1, (value / most) * (WIDTH - LABELS - VALUES - 24))
      const middle = y + BAR - 5
      const row = [
        `<text x="${LABELS}" y="${middle}" class="label">${escaped(label)}</text>`,
        `<rect x="${LABELS + 8}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" class="${ours ? 'ours' : 'theirs'}"/>`,
        `<text x="${(LABELS + 14 + width).toFixed(1)}" y="${middle}">${Math.round(value).toLocaleString('en')}</text>`,
      ]
      y += BAR + GAP
      return row.join('')
    })
    y += 12
    return [head, ...rows].join('\n')
  })
  const style = `text{font:12px system-ui,sans-serif;fill:#444}.head{font-weight:600;font-size:14px}.label{text-anchor:end}
.small{font-size:11px}.ours{fill:#2f6fdb}.theirs{fill:#b9bec7}
@media(prefers-color-scheme:dark){text{fill:#ddd}.theirs{fill:#666d79}.ours{fill:#6ea0ff}}`
  const foot = `<text x="12" y="${y + 14}" class="small">${escaped(setting)}</text>`
  const height = y + 26
  writeFileSync(
    file,
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>Results of npm run bench</title>
<style>${style}</style>
${panels.join('\n')}
${foot}
</svg>
`,
  )
}

/** @param {string} text */
function escaped(text) {
  return text.replace(/[&<>]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[sign] ?? '')
}
