import type { Request, Response } from 'express'
import { displayText, formTargetOf, type Html, html, sendPage } from './html.ts'

/** Everything that a consent page shows and sends back. Texts from clients are as they registered them: escape them. */
export interface ConsentView {
  readonly client: {
    readonly id: string
    readonly name: string
    readonly uri: string | undefined
    readonly policyUri: string | undefined
    readonly tosUri: string | undefined
    /** Configured by the app itself. A registered client chose its own name: nobody vouches for it. */
    readonly isVouchedFor: boolean
    /** The host that publishes its metadata document, where its client_id is one: show it, for it is all that is certain. */
    readonly publisher: string | undefined
  }
  readonly redirectUri: string
  /** The host to show people: `app.example.com`, `this device`, or the app behind a private-use scheme. */
  readonly redirectHost: string
  readonly isLoopback: boolean
  readonly user: { readonly subject: string; readonly displayName: string | undefined }
  readonly resources: readonly { readonly identifier: string; readonly name: string }[]
  readonly scopes: readonly { readonly scope: string; readonly description: string }[]
  /**
   * The form: POST to `action` with `fields`, one `scope` for each granted scope, and `decision` = `allow` or `deny`.
   * Anything else in it is refused.
   */
  readonly form: { readonly action: string; readonly fields: Readonly<Record<'request' | 'token', string>> }
}

/** The built-in consent page: works without JavaScript, in light and dark, on a phone, with a keyboard and a screen reader. */
export function sendConsentPage(req: Request, res: Response, view: ConsentView): void {
  const { client, form } = view
  const name = displayText(client.name)
  const where = view.resources.map((resource) => displayText(resource.name)).join(', ')
  const content = html`<h1><bdi>${name}</bdi> would like to use your account</h1>
<p>${view.user.displayName === undefined ? '' : html`You are signed in as <strong><bdi>${displayText(view.user.displayName)}</bdi></strong>. `}If you allow it, you will be sent ${view.isLoopback ? 'back to an app on ' : 'to '}<strong>${view.redirectHost}</strong>${view.isLoopback ? html` (<code>${new URL(view.redirectUri).host}</code>)` : ''}.</p>
${notes(view)}<form method="post" action="${form.action}">
${Object.entries(form.fields).map(([field, value]) => html`<input type="hidden" name="${field}" value="${value}">\n`)}<fieldset>
<legend>It may, at ${where}:</legend>
${view.scopes.map(
  (
    { scope, description },
    index,
  ) => html`<label for="scope-${index}"><input type="checkbox" id="scope-${index}" name="scope" value="${scope}" checked><span>${description === '' ? html`<code>${scope}</code>` : html`${description} <small>${scope}</small>`}</span></label>
`,
)}</fieldset>
<div class="actions">
<button class="main" type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Cancel</button>
</div>
</form>
${links(view)}`
  sendPage(req, res, 200, `Allow ${name}?`, content, [formTargetOf(view.redirectUri)])
}

function notes({ client, isLoopback, redirectHost }: ConsentView): Html {
  if (client.isVouchedFor) return html``
  const { publisher } = client
  if (publisher !== undefined) {
    if (isLoopback)
      return html`<p class="note" role="note">This app is published by <strong>${publisher}</strong> and runs on ${redirectHost}, where any program could pass for it. Allow it only if you have just started signing in from it.</p>\n`
    return publisher === redirectHost
      ? html`<p class="note" role="note">This app is published by <strong>${publisher}</strong>. Allow it only if you know that address.</p>\n`
      : html`<p class="note" role="note">This app is published by <strong>${publisher}</strong>, but would send you to another place, <strong>${redirectHost}</strong>. Allow it only if you know both.</p>\n`
  }
  return isLoopback
    ? html`<p class="note" role="note">This app registered itself and runs on ${redirectHost}: its name cannot be checked. Allow it only if you have just started signing in from an app that you trust.</p>\n`
    : html`<p class="note" role="note">This app registered itself: its name cannot be checked. Allow it only if you know <strong>${redirectHost}</strong>.</p>\n`
}

function links({ client }: ConsentView): Html {
  const pages: [string, string | undefined][] = [
    ['About this app', client.uri],
    ['Privacy policy', client.policyUri],
    ['Terms', client.tosUri],
  ]
  const shown = pages.flatMap(([label, uri]) =>
    // Registration takes https alone; a store that was written to by somebody else must not say otherwise.
    !uri?.startsWith('https:')
      ? []
      : [html`<a href="${uri}" rel="noopener noreferrer nofollow">${label}</a>&ensp;`],
  )
  return shown.length === 0 ? html`` : html`<p class="soft">${shown}</p>`
}
