import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { products } from './orders.js'

/** Text that is already HTML. */
class Html {
  /** @param {string} text */
  constructor(text) {
    this.text = text
  }
}

/**
 * A template whose values are escaped, unless they are HTML themselves.
 * @param {TemplateStringsArray} strings
 * @param {...(string | number | false | undefined | Html | Html[])} values
 */
function html(strings, ...values) {
  const escaped = values.map((value) => {
    if (value instanceof Html) return value.text
    if (Array.isArray(value)) return value.map(({ text }) => text).join('')
    if (value === undefined || value === false) return ''
    return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
  })
  return new Html(String.raw({ raw: strings }, ...escaped))
}

/**
 * @param {import('express').Request} req
 * @param {import('express').Response} res
 * @param {{ title: string, content: Html, script?: boolean }} page
 */
export function sendPage(req, res, { title, content, script }) {
  // Nobody knows who it is where the store of sessions is away, and this page has to say so.
  const { user, signOut = '/sign-out' } = res.locals
  const link = (/** @type {string} */ path, /** @type {string} */ label) =>
    html`<a href="${path}"${req.path === path && new Html(' aria-current="page"')}>${label}</a>`
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Teapot &amp; Co.</title>
<link rel="icon" href="/teapot.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
${script && html`<script type="module" src="/demo.js"></script>`}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<nav aria-label="Shop">
<a class="brand" href="/"><img src="/teapot.svg" alt="" width="28" height="28">Teapot &amp; Co.</a>
${link('/products', 'Products')}
${
  user === undefined
    ? link('/sign-in', 'Sign in')
    : html`<form method="post" action="${signOut}"><button class="plain">Sign out <span class="who">${user.name}</span></button></form>`
}
</nav>
</header>
<main id="main" tabindex="-1">
${content}
</main>
<footer><p>A shop that sells nothing. It shows what <code>express-aat</code> does for an Express app that exists.</p></footer>
</body>
</html>
`
  res.set('Cache-Control', 'no-store').type('html').send(page.text)
}

/** @param {{ orders: import('./orders.js').Order[] | undefined }} view */
export function productsPage({ orders }) {
  const nameOf = (/** @type {string} */ id) => products.find((product) => product.id === id)?.name ?? id
  const content = html`<h1>Products</h1>
<ul class="cards">
${products.map(
  ({ id, name, price }) => html`<li class="card"><h2>${name}</h2>
<p class="price">${price.toFixed(2)} €</p>
<form method="post" action="/orders"><button name="product" value="${id}" aria-label="Order ${name}">Order</button></form></li>
`,
)}</ul>
<h2>Your orders</h2>
${
  orders === undefined
    ? html`<p><a href="/sign-in?return_to=/products">Sign in</a> to see them.</p>`
    : html`<ul class="orders">${orders.map(
        ({ id, product, quantity, placedAt }) =>
          html`<li><span>No. ${id}</span> <strong>${quantity} × ${nameOf(product)}</strong> <time datetime="${placedAt}">${placedAt.slice(0, 16).replace('T', ' ')}</time></li>\n`,
      )}</ul>
<p class="soft">The same list, for programs: <code>GET /api/orders</code> with an access token, or the MCP tool <code>list_orders</code>.</p>`
}`
  return { title: 'Products', content }
}

/** @param {{ returnTo: string, username?: string, failed?: boolean }} view */
export function signInPage({ returnTo, username = '', failed = false }) {
  const content = html`<div class="narrow card">
<h1>Sign in</h1>
${failed && html`<p class="alert" role="alert" id="problem">That is not a user and password of this shop. Try <code>alice</code> and <code>wonderland</code>.</p>`}
<form method="post" action="/sign-in" class="fields">
<input type="hidden" name="return_to" value="${returnTo}">
<label for="username">User name</label>
<input id="username" name="username" value="${username}" autocomplete="username" autocapitalize="none" spellcheck="false" required${failed && new Html(' aria-describedby="problem" aria-invalid="true"')}${username === '' && new Html(' autofocus')}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${username !== '' && new Html(' autofocus')}>
<button class="main">Sign in</button>
</form>
<p class="soft">For trying out: <code>alice</code> with <code>wonderland</code>, or <code>bob</code> with <code>builder</code>.</p>
</div>`
  return { title: 'Sign in', content }
}

/**
 * @param {string} title
 * @param {string} description
 */
export function errorPage(title, description) {
  return {
    title,
    content: html`<h1>${title}</h1>\n<p>${description}</p>\n<p><a href="/">Back to the shop</a></p>`,
  }
}

/**
 * What to try where several instances run side by side (cluster.js).
 * @param {string} issuer
 * @param {string[]} instances
 */
function instancesSection(issuer, instances) {
  const [first, second] = instances
  const lines = `# the same keys at each
curl -is -H 'X-Instance: ${first}' ${issuer}/.well-known/jwks.json
curl -is -H 'X-Instance: ${second}' ${issuer}/.well-known/jwks.json

# rotate the signing key at one; within a second all sign with the new one
curl -is -X POST ${issuer}/demo/rotate
curl -is -H 'X-Instance: ${second}' ${issuer}/demo/ring

# is one ready, and what does it think of its Redis?
curl -is -H 'X-Instance: ${first}' ${issuer}/ready`
  return html`
<section aria-labelledby="instances-title">
<h2 id="instances-title">You are looking at ${instances.length} instances</h2>
<p>Each request to this address goes to the next of ${instances.length} processes, ${instances.join(', ')}, that share nothing but one Redis. The header <code>X-Instance</code> of an answer names who gave it, and the tour shows it at each step; sent with a request, it chooses. Kill one (the terminal shows the process ids): nobody is signed out, and no token is lost.</p>
<div class="snippet"><pre id="instances" tabindex="0" role="group" aria-label="Commands to try with the instances">${lines}</pre><button type="button" data-copy="instances" hidden>Copy</button></div>
</section>
`
}

const authSource = readFileSync(join(import.meta.dirname, 'auth.js'), 'utf8')

/** @param {{ issuer: string, demoSecret: string | undefined, demo: boolean, instances: string[] }} view `demoSecret` where it is no secret */
export function homePage({ issuer, demoSecret = '$SHOP_BACKEND_SECRET', demo, instances }) {
  const mcpConfig = JSON.stringify(
    { mcpServers: { teapot: { type: 'http', url: `${issuer}/mcp` } } },
    null,
    2,
  )
  const curl = `curl -u "shop-backend:${demoSecret}" -d grant_type=client_credentials \\
  ${issuer}/oauth/token`
  const documents = [
    ['/.well-known/oauth-authorization-server', 'where everything is, for clients (RFC 8414)'],
    ['/.well-known/jwks.json', 'the public keys that tokens are verified with'],
    [
      '/.well-known/oauth-protected-resource/api',
      'what the API needs, and who issues tokens for it (RFC 9728)',
    ],
    ['/.well-known/oauth-protected-resource/mcp', 'the same for the MCP server'],
    ['/api/orders', 'the API: without a token, a 401 that tells clients where to begin'],
  ]
  const content = html`<section class="hero">
<h1>This shop is now an OAuth server</h1>
<p class="lead">Teapot &amp; Co. is a plain Express app with its own users and sign-in. <code>express-aat</code> was mounted on it, in one short file. Now apps and AI agents can ask its users for access, and get <em>authorized access tokens</em> (AATs) for its API: signed, short-lived, refreshed, and revoked at once where that is needed.</p>
</section>

<section id="tour" aria-labelledby="tour-title" data-issuer="${issuer}" data-instances="${instances.join(',')}">
<h2 id="tour-title">Watch it work</h2>
${
  demo
    ? html`<p>Your browser plays a client that has never been here: it finds its way, registers, asks you to sign in and to agree, gets tokens and uses them. Then it plays a thief, and is caught. Every request is a real one.</p>
<p class="alert without-script">The tour needs JavaScript. The sign-in and the consent page that it leads to do not.</p>
<div class="actions"><button id="run" class="main big" type="button" hidden>Run the whole flow</button> <button id="reset" type="button" hidden>Start over</button></div>
<p id="elsewhere" class="alert" hidden></p>
<ol id="steps" class="steps"></ol>
<p id="status" class="status" role="status" aria-live="polite"></p>`
    : html`<p>The tour rotates signing keys, so it is not there with <code>NODE_ENV=production</code>.</p>`
}
</section>
${instances.length > 0 && instancesSection(issuer, instances)}
<section aria-labelledby="own-title">
<h2 id="own-title">Try it with your own client</h2>
<h3>An MCP client</h3>
<p>Give it this server. It registers itself, opens a browser for you to sign in, and asks again when it first wants to place an order.</p>
<div class="snippet"><pre id="mcp-config" tabindex="0" role="group" aria-label="MCP client configuration">${mcpConfig}</pre><button type="button" data-copy="mcp-config" hidden>Copy</button></div>
<h3>A backend</h3>
<p>The client <code>shop-backend</code> stands in the configuration and gets tokens of its own, without a user.</p>
<div class="snippet"><pre id="curl" tabindex="0" role="group" aria-label="Command for a backend's token">${curl}</pre><button type="button" data-copy="curl" hidden>Copy</button></div>
<h3>Anything else</h3>
<ul class="links">
${documents.map(([path, what]) => html`<li><a href="${path}"><code>${path}</code></a> <span>${what}</span></li>\n`)}</ul>
</section>

<section aria-labelledby="code-title">
<h2 id="code-title">The code that does it</h2>
<p>All that was added to the shop to make it an authorization server is <code>example-app/auth.js</code>. A route is protected by one line: <code>app.get('/api/orders', requireAat(aat, { scope: 'orders:read' }), …)</code></p>
<details><summary>Show <code>auth.js</code></summary>
<div class="snippet"><pre id="auth-source" tabindex="0" role="group" aria-label="auth.js">${authSource}</pre><button type="button" data-copy="auth-source" hidden>Copy</button></div>
</details>
</section>`
  return { title: 'An Express app with OAuth', content, script: true }
}
