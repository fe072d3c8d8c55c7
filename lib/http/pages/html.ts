import { createHash } from 'node:crypto'
import type { Request, Response } from 'express'
import helmet from 'helmet'
import { setNoStore } from '../headers.ts'

/** Text that is already HTML. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** A template whose values are escaped, unless they are `Html` themselves. */
export function html(
  strings: TemplateStringsArray,
  ...values: (string | number | Html | readonly Html[] | undefined | false)[]
): Html {
  let text = strings[0] ?? ''
  values.forEach((value, index) => {
    if (value instanceof Html) text += value.text
    else if (Array.isArray(value)) text += value.map((part: Html) => part.text).join('')
    else if (value !== undefined && value !== false) text += escapeHtml(String(value))
    text += strings[index + 1] ?? ''
  })
  return new Html(text)
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** A text from outside as people should see it: no control or direction-changing characters, and not too long. */
export function displayText(text: string, max = 80): string {
  const visible = text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/gu, '').trim()
  const characters = [...visible]
  return characters.length <= max ? visible : `${characters.slice(0, max - 1).join('')}…`
}

const style = `
:root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--text:#1b1f24;--soft:#57606a;--line:#d0d7de;--main:#0b5cad;--on-main:#fff;--warn:#fff4d6;--warn-line:#b58105}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--card:#161b22;--text:#e6edf3;--soft:#9da7b3;--line:#3d444d;--main:#6cb6ff;--on-main:#0d1117;--warn:#2d2408;--warn-line:#b58105}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--page);color:var(--text);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:28rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.75rem}
h1{font-size:1.3rem;line-height:1.3;margin:0 0 .75rem;overflow-wrap:anywhere}
p{margin:.5rem 0;overflow-wrap:anywhere}
.soft{color:var(--soft);font-size:.9rem}
fieldset{border:1px solid var(--line);border-radius:.5rem;margin:1.25rem 0;padding:.5rem 1rem 1rem}
legend{float:left;width:100%;padding:.4rem 0 .25rem;font-weight:600;overflow-wrap:anywhere}
legend+*{clear:both}
label{display:flex;gap:.65rem;align-items:flex-start;padding:.4rem 0;min-height:2.75rem}
input[type=checkbox]{width:1.25rem;height:1.25rem;margin:.15rem 0 0;accent-color:var(--main);flex:none}
label small{display:block;color:var(--soft)}
.note{background:var(--warn);border-left:.25rem solid var(--warn-line);border-radius:.25rem;padding:.6rem .8rem;margin:1rem 0;font-size:.92rem}
.actions{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.25rem}
button,a.button{flex:1 1 8rem;font:inherit;font-weight:600;text-align:center;text-decoration:none;padding:.7rem 1rem;min-height:2.75rem;border-radius:.5rem;border:1px solid var(--line);background:transparent;color:var(--text);cursor:pointer}
button.main{background:var(--main);border-color:var(--main);color:var(--on-main)}
button:focus-visible,a:focus-visible,input:focus-visible{outline:3px solid var(--main);outline-offset:2px}
a{color:var(--main)}
code{font-size:.9em;overflow-wrap:anywhere}
`
const styleHash = `'sha256-${createHash('sha256').update(style).digest('base64')}'`

/**
 * Sends a page with the strictest headers that it can live with: no script, no frame, no resource from anywhere, no
 * referrer (RFC 9700 §4.2.4 and §4.16).
 * @param formTargets origins or schemes that a form's answer may redirect to: Chromium checks `form-action` there too
 */
export function sendPage(
  req: Request,
  res: Response,
  status: number,
  title: string,
  content: Html,
  formTargets: readonly string[] = [],
): void {
  setPageHeaders(req, res, formTargets)
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
${content}
</main>
</body>
</html>
`
  const bytes = Buffer.from(page.text)
  res.statusCode = status
  res.setHeader('Content-Type', 'text/html; charset=utf-8')
  res.setHeader('Content-Length', bytes.length)
  res.end(req.method === 'HEAD' ? undefined : bytes)
}

/** The headers alone: for a page of the app's own, which may loosen what it needs after this. */
export function setPageHeaders(req: Request, res: Response, formTargets: readonly string[]): void {
  setNoStore(res)
  helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'none'"],
        'style-src': [styleHash],
        'form-action': ["'self'", ...formTargets],
        'frame-ancestors': ["'none'"],
        'base-uri': ["'none'"],
      },
    },
    crossOriginEmbedderPolicy: false,
    // Clients open this page in a pop-up and want to hear from it when it is back at theirs.
    crossOriginOpenerPolicy: false,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
    // Transport security is the whole site's to decide, not one page's.
    strictTransportSecurity: false,
  })(req, res, () => undefined)
}

/** A redirect URI as a source of `form-action`; schemes and IPv6 addresses have no host in that grammar (CSP3 §2.3.1). */
export function formTargetOf(redirectUri: string): string {
  const url = new URL(redirectUri)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return url.protocol
  return url.hostname.startsWith('[') ? url.protocol : url.origin
}
