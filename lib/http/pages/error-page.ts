import type { Request, Response } from 'express'
import { html, sendPage } from './html.ts'

/** What an error page says; `returnTo` is where a click takes the user, where that is proven to be the client's. */
export interface ErrorView {
  readonly status: number
  /** The OAuth error code, for the developer who looks at the page. */
  readonly code: string
  readonly description: string
  readonly returnTo?: { readonly url: string; readonly host: string }
}

/** The plain error page: for what cannot or must not be sent to the client (RFC 6749 §4.1.2.1, RFC 9700 §4.11.2). */
export function sendErrorPage(
  req: Request,
  res: Response,
  { status, code, description, returnTo }: ErrorView,
): void {
  const content = html`<h1>This sign-in cannot go on</h1>
<p>${sentence(description)}.</p>
${
  returnTo === undefined
    ? html`<p>Go back to the app that sent you here and try again. If it happens again, tell the people who make the app.</p>`
    : html`<p>The app registered itself here, so you are asked before you are sent on to <strong>${returnTo.host}</strong>. Continue only if you know it.</p>
<p class="actions"><a class="button" href="${returnTo.url}" rel="noreferrer">Continue to ${returnTo.host}</a></p>`
}
<p class="soft">Error: <code>${code}</code></p>`
  sendPage(req, res, status, 'This sign-in cannot go on', content)
}

/** With a capital, unless it begins with the name of a parameter. */
function sentence(description: string): string {
  return description.replace(/^[a-z](?![a-z]*_)/, (letter) => letter.toUpperCase())
}
