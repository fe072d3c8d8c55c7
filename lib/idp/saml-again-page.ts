import { createHash } from 'node:crypto'
import type { Request, Response } from 'express'
import { Html, html, setPageHeaders } from '../http/pages/html.ts'

const script = 'document.forms[0].submit()'
const scriptHash = `'sha256-${createHash('sha256').update(script).digest('base64')}'`

/**
 * Sends a form on to where it came, this time from our own site: a browser keeps `SameSite=Lax` cookies back from a form of the
 * provider's site (RFC 6265bis §5.6.7.1). Without JavaScript it is a button.
 * @param action as a path
 */
export function sendAgainPage(
  req: Request,
  res: Response,
  action: string,
  fields: Readonly<Record<string, string | undefined>>,
): void {
  setPageHeaders(req, res, [])
  // No form-action: Chromium checks it on the redirects that follow too, which lead to the client in the end.
  res.setHeader(
    'Content-Security-Policy',
    `default-src 'none'; script-src ${scriptHash}; frame-ancestors 'none'; base-uri 'none'`,
  )
  const inputs = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [html`<input type="hidden" name="${name}" value="${value}">`],
  )
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Signing in</title>
</head>
<body>
<main>
<h1>Signing in</h1>
<form method="post" action="${action}">${inputs}<button type="submit">Continue</button></form>
</main>
<script>${new Html(script)}</script>
</body>
</html>
`
  const bytes = Buffer.from(page.text)
  res.statusCode = 200
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.setHeader('Content-Length', bytes.length)
  res.end(bytes)
}
