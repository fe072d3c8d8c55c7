import type { Request, Response } from 'express'
import { html, sendPage } from '../http/pages/html.ts'
import { OAuthError } from '../protocol/oauth-error.ts'

/**
 * Asks before it signs out: a link or an image on another site must not.
 * @param action where the form goes, as a path
 * @param formTargets origins that the answer may redirect to: Chromium checks `form-action` there too
 */
export function sendSignOutPage(
  req: Request,
  res: Response,
  action: string,
  formTargets: readonly string[],
): void {
  const content = html`<h1>Sign out?</h1>
<p>You will be signed out here and at your identity provider. Apps that you connected have to ask you again.</p>
<form method="post" action="${action}"><p class="actions"><button class="main" type="submit">Sign out</button></p></form>`
  sendPage(req, res, 200, 'Sign out', content, formTargets)
}

/**
 * A form of another site. Browsers say where a form comes from; an old one that says `null` says so of our own page too, which
 * sends no referrer. @throws OAuthError 403
 */
export function refuseOtherSites(req: Request, origin: string): void {
  const site = req.headers['sec-fetch-site']
  const from = req.headers.origin
  const isOther =
    site === undefined
      ? from !== undefined && from !== origin && from !== 'null'
      : site !== 'same-origin' && site !== 'none'
  if (isOther) throw new OAuthError('access_denied', 'this form was sent from another site', { status: 403 })
}
