// The tour on the home page: this page plays an OAuth client that has never been here. No framework, no library: every line
// of a public client's part is below. What it must remember while you sign in is kept in this tab (sessionStorage).

/**
 * @typedef {object} Exchange
 * @property {string} request as text
 * @property {number} status
 * @property {string} response as text
 * @property {string | undefined} [by] the instance that answered, where there are several
 *
 * @typedef {object} Result what a step shows when it is done
 * @property {Exchange[]} [exchanges]
 * @property {{ title: string, entries: [string, string, string][] }[]} [claims] name, value, what it means
 *
 * @typedef {object} Memory what later steps need of earlier ones
 * @property {string} [resource]
 * @property {Record<string, any>} [server] the authorization server's metadata
 * @property {string} [clientId]
 * @property {string} [verifier]
 * @property {string} [state]
 * @property {string} [authorizeUrl]
 * @property {string} [code]
 * @property {string} [accessToken] the newest one
 * @property {string[]} [refreshTokens] oldest first
 * @property {string | undefined} [issuedBy] the instance that issued the newest tokens
 *
 * @typedef {object} Tour
 * @property {number} step the index of the step that is next
 * @property {Memory} memory
 * @property {Result[]} results of the steps before it
 *
 * @typedef {object} Step
 * @property {string} title
 * @property {string} meaning one sentence, shown when it is done
 * @property {string} [together] what it means where there are several instances
 * @property {(memory: Memory) => Promise<Result>} run
 */

const KEY = 'tour'
const redirectUri = `${location.origin}/`
/** Names of the instances behind this address, where there are several; else one that has no name. */
const instances = (document.getElementById('tour')?.dataset.instances ?? '').split(',')

// ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Tokens and codes are long, and secret: enough of them to tell them apart. */
const short = (/** @type {string} */ text) =>
  text.length <= 28 ? text : `${text.slice(0, 14)}…${text.slice(-8)}`

const secrets = new Set([
  'access_token',
  'refresh_token',
  'code',
  'code_verifier',
  'code_challenge',
  'client_id',
  'x',
  'y',
])
/** JSON for people: secrets shortened, short lists in one line. */
const pretty = (/** @type {unknown} */ value) =>
  JSON.stringify(
    value,
    (name, member) => (typeof member === 'string' && secrets.has(name) ? short(member) : member),
    2,
  ).replace(/\[\n\s+([^[\]{}]*?)\n\s+\]/g, (_, list) => `[${list.replace(/\n\s+/g, ' ')}]`)

/**
 * Sends a request, and keeps both sides of it for the reader.
 * @param {string} method
 * @param {string} url
 * @param {{ token?: string | undefined, form?: Record<string, string | undefined>, json?: unknown, at?: string | undefined }} [content]
 *   `at`: the instance that shall answer
 */
async function send(method, url, { token, form, json, at = '' } = {}) {
  const lines = [`${method} ${new URL(url, location.href).pathname}`]
  const headers = new Headers({ Accept: 'application/json' })
  /** @type {string | URLSearchParams | null} */
  let body = null
  if (at !== '') {
    headers.set('X-Instance', at)
    lines.push(`X-Instance: ${at}`)
  }
  if (token !== undefined) {
    headers.set('Authorization', `Bearer ${token}`)
    lines.push(`Authorization: Bearer ${short(token)}`)
  }
  if (form !== undefined) {
    body = new URLSearchParams()
    lines.push('')
    for (const [name, value] of Object.entries(form)) {
      if (value === undefined) continue
      body.set(name, value)
      lines.push(`${name}=${secrets.has(name) ? short(value) : value}`)
    }
  }
  if (json !== undefined) {
    body = JSON.stringify(json)
    headers.set('Content-Type', 'application/json')
    lines.push('Content-Type: application/json', '', pretty(json))
  }
  const answer = await fetch(url, { method, headers, body, cache: 'no-store' })
  const text = await answer.text()
  const challenge = answer.headers.get('WWW-Authenticate') ?? ''
  const by = answer.headers.get('X-Instance') ?? undefined
  /** @type {any} */
  let data
  try {
    data = JSON.parse(text)
  } catch {
    data = undefined
  }
  /** @type {Exchange} */
  const exchange = {
    request: lines.join('\n'),
    status: answer.status,
    by,
    response:
      (challenge === '' ? '' : `WWW-Authenticate: ${challenge}\n\n`) +
      (data === undefined ? text.slice(0, 300) : pretty(data)),
  }
  return { status: answer.status, data, challenge, by, exchange }
}

/** @typedef {Awaited<ReturnType<typeof send>>} Answer */

/**
 * Asks each instance, again where it does not know yet what another one did (a second at most). Alone: asks once.
 * @param {(instance: string) => Promise<Answer>} ask
 * @param {(answer: Answer) => boolean} isSo
 */
async function atEach(ask, isSo) {
  const answers = []
  for (const instance of instances) {
    const began = Date.now()
    let answer = await ask(instance)
    while (instances.length > 1 && !isSo(answer) && Date.now() - began < 3000) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      answer = await ask(instance)
    }
    answers.push(answer)
  }
  return {
    all: answers.every(isSo),
    exchanges: answers.map(({ exchange }) => exchange),
  }
}

/** @param {string | undefined} instance */
const another = (instance = '') => instances[(instances.indexOf(instance) + 1) % instances.length]

/**
 * The tour goes on only where the server did what it says: anything else is shown as a failure.
 * @param {boolean} isSo
 * @param {string} what
 * @param {Exchange[]} [exchanges]
 * @returns {asserts isSo}
 */
function expect(isSo, what, exchanges = []) {
  if (!isSo) throw new Surprise(what, exchanges)
}

class Surprise extends Error {
  /**
   * @param {string} message
   * @param {Exchange[]} exchanges
   */
  constructor(message, exchanges) {
    super(message)
    this.exchanges = exchanges
  }
}

// ── small tools of every public client ───────────────────────────────────────────────────────────────────────────

const base64url = (/** @type {Uint8Array} */ bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '')
const randomText = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const sha256 = async (/** @type {string} */ text) =>
  base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))))

/**
 * Looks into a token without verifying it: for show. The API verifies.
 * @param {string | undefined} token
 * @returns {{ header: Record<string, unknown>, claims: Record<string, unknown> }}
 */
function decode(token = '') {
  const [header = {}, claims = {}] = token
    .split('.')
    .slice(0, 2)
    .map((part) => {
      const bytes = Uint8Array.from(atob(part.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
      return JSON.parse(new TextDecoder().decode(bytes))
    })
  return { header, claims }
}

/** @param {{ keys?: { kid: string, state: string }[] } | undefined} ring */
const activeKid = (ring) => ring?.keys?.find(({ state }) => state === 'active')?.kid

/** @param {Memory} memory */
function refresh({ server, clientId, refreshTokens, issuedBy }, which = -1) {
  return send('POST', server?.token_endpoint, {
    at: another(issuedBy),
    form: { grant_type: 'refresh_token', refresh_token: refreshTokens?.at(which), client_id: clientId },
  })
}

/**
 * @param {Memory} memory
 * @param {{ data: any, by: string | undefined }} answer
 */
function keepTokens(memory, { data, by }) {
  memory.issuedBy = by
  memory.accessToken = data.access_token
  memory.refreshTokens = [...(memory.refreshTokens ?? []), data.refresh_token]
}

/** @type {Record<string, string>} */
const words = {
  alg: 'How it is signed: ECDSA on the curve P-256.',
  typ: 'It is an access token (RFC 9068), and can be taken for nothing else.',
  kid: 'Which of the published keys signed it.',
  iss: 'Who issued it: this shop.',
  sub: 'Whose orders they are.',
  aud: 'What it is good for: this API only. The MCP server refuses it.',
  client_id: 'Which app got it.',
  scope: 'What the app may do.',
  iat: 'When it was issued.',
  exp: 'When it ends. Short, as the refresh token brings the next one.',
  auth_time: 'When the user really signed in.',
  jti: 'Its own name, so that this one token can be revoked.',
  grant_id: 'What the user agreed to: revoking this ends every token that came of it.',
  grant_iat: 'When the user agreed to it: revoking all of a user or a client ends what is older.',
}

/**
 * @param {Record<string, unknown>} members
 * @returns {[string, string, string][]}
 */
function explained(members) {
  return Object.entries(members).map(([name, value]) => [
    name,
    ['iat', 'exp', 'auth_time'].includes(name)
      ? `${value} (${new Date(Number(value) * 1000).toLocaleTimeString()})`
      : String(value),
    words[name] ?? '',
  ])
}

// ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The index of the step at which the page is left for signing in. */
const ASK = 3

/** @type {Step[]} */
const steps = [
  {
    title: 'Call the API without a token',
    meaning: 'Refused, but politely: the challenge says which scope it takes and where a client reads on.',
    async run(memory) {
      const { status, challenge, exchange } = await send('GET', '/api/orders')
      expect(status === 401, 'The API should have asked for a token.', [exchange])
      const where = /resource_metadata="([^"]+)"/.exec(challenge)?.[1]
      expect(where !== undefined, 'The challenge should say where to read on.', [exchange])
      const about = await send('GET', where)
      memory.resource = about.data?.resource
      return { exchanges: [exchange, about.exchange] }
    },
  },
  {
    title: 'Discover the authorization server',
    meaning: 'Now the client knows every address and what is supported; nothing had to be set up by hand.',
    async run(memory) {
      const { status, data, exchange } = await send('GET', '/.well-known/oauth-authorization-server')
      expect(status === 200 && data.issuer === location.origin, 'The metadata should be of this origin.', [
        exchange,
      ])
      memory.server = data
      return { exchanges: [exchange] }
    },
  },
  {
    title: 'Register as a client',
    meaning:
      'The client introduced itself and got an id, but no secret: a page in a browser could not keep one. PKCE protects it instead.',
    async run(memory) {
      const { status, data, exchange } = await send('POST', memory.server?.registration_endpoint, {
        json: {
          client_name: 'The guided tour',
          redirect_uris: [redirectUri],
          grant_types: ['authorization_code', 'refresh_token'],
          token_endpoint_auth_method: 'none',
        },
      })
      expect(status === 201, 'The registration should have been accepted.', [exchange])
      memory.clientId = data.client_id
      return { exchanges: [exchange] }
    },
  },
  {
    title: 'Ask the user',
    meaning:
      'You signed in on the shop’s own page and agreed. The app never saw the password, and got a code that works once.',
    async run(memory) {
      memory.verifier = randomText()
      memory.state = randomText()
      const url = new URL(memory.server?.authorization_endpoint)
      const parameters = {
        response_type: 'code',
        client_id: memory.clientId ?? '',
        redirect_uri: redirectUri,
        scope: 'orders:read',
        resource: memory.resource ?? '',
        state: memory.state,
        code_challenge: await sha256(memory.verifier),
        code_challenge_method: 'S256',
      }
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
      memory.authorizeUrl = url.href
      const shown = Object.entries(parameters).map(
        ([name, value]) => `${name}=${secrets.has(name) || name === 'state' ? short(value) : value}`,
      )
      return {
        exchanges: [
          {
            request: `GET ${url.pathname}\n\n${shown.join('\n')}`,
            status: 303,
            response: 'The sign-in, then the consent page',
          },
        ],
      }
    },
  },
  {
    title: 'Exchange the code for tokens',
    meaning:
      'The code alone is worth nothing: it was exchanged together with the PKCE verifier that only this page knows, so a stolen code is useless.',
    async run(memory) {
      const { status, data, by, exchange } = await send('POST', memory.server?.token_endpoint, {
        form: {
          grant_type: 'authorization_code',
          code: memory.code,
          code_verifier: memory.verifier,
          redirect_uri: redirectUri,
          client_id: memory.clientId,
          resource: memory.resource,
        },
      })
      expect(status === 200, 'The code should have been exchanged.', [exchange])
      keepTokens(memory, { data, by })
      return { exchanges: [exchange] }
    },
  },
  {
    title: 'Look into the access token',
    meaning:
      'The token says all that an API must know, and is signed: the API verifies it without asking anybody.',
    together: 'Every instance publishes the same keys, so it does not matter which one signed.',
    async run({ accessToken, server }) {
      const { header, claims } = decode(accessToken)
      const has = (/** @type {Answer} */ { data }) =>
        data?.keys?.some((/** @type {{ kid: string }} */ { kid }) => kid === header.kid)
      const published =
        instances.length > 1 ? await atEach((at) => send('GET', server?.jwks_uri, { at }), has) : undefined
      expect(published?.all !== false, 'Every instance should publish the key.', published?.exchanges)
      return {
        exchanges: published?.exchanges ?? [],
        claims: [
          { title: 'Header', entries: explained(header) },
          { title: 'Claims', entries: explained(claims) },
        ],
      }
    },
  },
  {
    title: 'Read the orders',
    meaning: 'The same orders as on the shop’s own page, because the token says whose they are.',
    together: 'One instance issued the token, and each accepts it without asking anybody.',
    async run({ accessToken }) {
      const { all, exchanges } = await atEach(
        (at) => send('GET', '/api/orders', { token: accessToken, at }),
        ({ status }) => status === 200,
      )
      expect(all, 'The token should be good for reading.', exchanges)
      return { exchanges }
    },
  },
  {
    title: 'Try to place an order',
    meaning:
      'You allowed reading and nothing else. The challenge names the scope that is missing, so an app can come back and ask you for it.',
    async run({ accessToken }) {
      const { status, challenge, exchange } = await send('POST', '/api/orders', {
        token: accessToken,
        json: { product: 'teapot' },
      })
      expect(status === 403 && challenge.includes('orders:write'), 'Writing should have been refused.', [
        exchange,
      ])
      return { exchanges: [exchange] }
    },
  },
  {
    title: 'Refresh',
    meaning: 'A new access token, and a new refresh token with it: the one before is spent from now on.',
    together: 'One instance issued the tokens, another refreshed them, and a third takes the new one.',
    async run(memory) {
      const answer = await refresh(memory)
      expect(answer.status === 200, 'The refresh token should be good.', [answer.exchange])
      expect(answer.data.refresh_token !== memory.refreshTokens?.at(-1), 'It should have rotated.', [
        answer.exchange,
      ])
      keepTokens(memory, answer)
      const exchanges = [answer.exchange]
      if (instances.length > 1) {
        const third = another(answer.by)
        const call = await send('GET', '/api/orders', { token: memory.accessToken, at: third })
        exchanges.push(call.exchange)
        expect(call.status === 200, 'The new token should be good elsewhere.', exchanges)
      }
      return { exchanges }
    },
  },
  {
    title: 'Rotate the signing key',
    meaning:
      'The old token still works, since its key stays published until the last token of it has ended; the new token has the new key’s kid. Nobody was signed out, nothing was restarted.',
    together: 'One instance was told to; the others read it in Redis within a second.',
    async run(memory) {
      const before = memory.accessToken
      const rotation = await send('POST', '/demo/rotate')
      expect(rotation.status === 200, 'Rotating needs you to be signed in to the shop here.', [
        rotation.exchange,
      ])
      const exchanges = [rotation.exchange]
      if (instances.length > 1) {
        const rotated = await atEach(
          (at) => send('GET', '/demo/ring', { at }),
          ({ data }) => activeKid(data) === activeKid(rotation.data),
        )
        exchanges.push(...rotated.exchanges)
        expect(rotated.all, 'Every instance should sign with the new key.', exchanges)
      }
      const call = await send('GET', '/api/orders', { token: before })
      exchanges.push(call.exchange)
      expect(call.status === 200, 'The old token should still be good.', exchanges)
      const answer = await refresh(memory)
      exchanges.push(answer.exchange)
      expect(answer.status === 200, 'The refresh token should be good.', exchanges)
      keepTokens(memory, answer)
      const [oldKid, newKid] = [before, memory.accessToken].map((token) => String(decode(token).header.kid))
      expect(oldKid !== newKid, 'The new token should be signed by the new key.', exchanges)
      return {
        exchanges,
        claims: [
          {
            title: 'Who signed what',
            entries: [
              [
                'old kid',
                oldKid ?? '',
                'Signed the token from before the rotation, which was just accepted.',
              ],
              ['new kid', newKid ?? '', 'Signed the token from after it.'],
            ],
          },
        ],
      }
    },
  },
  {
    title: 'Replay a stolen refresh token',
    meaning:
      'The very first refresh token was spent two refreshes ago. Whoever presents it now is a thief, or was robbed by one: it is refused, and the whole family of tokens ends.',
    async run(memory) {
      const { status, data, exchange } = await refresh(memory, 0)
      expect(status === 400 && data.error === 'invalid_grant', 'The replay should have been caught.', [
        exchange,
      ])
      return { exchanges: [exchange] }
    },
  },
  {
    title: 'And the thief is out',
    meaning:
      'The newest access token has minutes to live, and is refused at once all the same; so is the newest refresh token. Only the user can begin again, by signing in.',
    together: 'The instance that caught the thief told the others through Redis.',
    async run(memory) {
      const calls = await atEach(
        (at) => send('GET', '/api/orders', { token: memory.accessToken, at }),
        ({ status }) => status === 401,
      )
      const again = await refresh(memory)
      const exchanges = [...calls.exchanges, again.exchange]
      expect(calls.all, 'The access token should be revoked.', exchanges)
      expect(again.status === 400, 'The refresh token should be dead.', exchanges)
      return { exchanges }
    },
  },
]

// ── showing ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 */
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name)
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value)
  node.append(...children)
  return node
}

const byId = (/** @type {string} */ id) => document.getElementById(id)
const list = byId('steps')
const status = byId('status')
const runButton = byId('run')
const resetButton = byId('reset')

/**
 * @param {number} index
 * @param {'waiting' | 'running' | 'asking' | 'done' | 'failed'} state
 * @param {...(Node | string)} content below the heading
 */
function show(index, state, ...content) {
  const step = steps[index]
  const item = list?.children[index]
  if (step === undefined || !(item instanceof HTMLElement)) return
  item.dataset.state = state
  const mark = state === 'done' ? '✓' : state === 'failed' ? '✗' : String(index + 1)
  const spoken = { waiting: '', running: ' (running)', asking: '', done: ' (done)', failed: ' (failed)' }[
    state
  ]
  item.replaceChildren(
    element('span', { class: 'mark', 'aria-hidden': 'true' }, mark),
    element(
      'h3',
      { id: `step-${index + 1}`, tabindex: '-1' },
      step.title,
      ...(spoken === '' ? [] : [element('span', { class: 'for-ears' }, spoken)]),
    ),
    ...content,
  )
}

/**
 * @param {number} index
 * @param {Exchange[]} exchanges
 */
function shownExchanges(index, exchanges) {
  return exchanges.map(({ request, status, response, by }, count) => {
    const name = `of step ${index + 1}${exchanges.length > 1 ? `, ${count + 1}` : ''}`
    const block = (/** @type {string} */ text, /** @type {string} */ label) =>
      element('pre', { tabindex: '0', role: 'group', 'aria-label': `${label} ${name}` }, text)
    return element(
      'div',
      { class: 'exchange' },
      element('div', {}, element('h4', {}, 'Request'), block(request, 'Request')),
      element(
        'div',
        {},
        element(
          'h4',
          {},
          'Response',
          element('span', { class: `code ${status < 400 ? 'ok' : 'no'}` }, String(status)),
          ...(by === undefined ? [] : [element('span', { class: 'by' }, `from instance ${by}`)]),
        ),
        block(response, 'Response'),
      ),
    )
  })
}

/**
 * @param {number} index
 * @param {Result} result
 */
function shownResult(index, { exchanges = [], claims = [] }) {
  return [
    ...shownExchanges(index, exchanges),
    ...claims.flatMap(({ title, entries }) => [
      element('h4', {}, title),
      element(
        'dl',
        { class: 'claims' },
        ...entries.map(([name, value, meaning]) =>
          element(
            'div',
            {},
            element('dt', {}, element('code', {}, name)),
            element('dd', {}, element('code', {}, value)),
            element('dd', { class: 'soft' }, meaning),
          ),
        ),
      ),
    ]),
  ]
}

/**
 * @param {number} index
 * @param {Result} result
 */
function showDone(index, result) {
  const { meaning = '', together } = steps[index] ?? {}
  const said = together !== undefined && instances.length > 1 ? `${meaning} ${together}` : meaning
  show(index, 'done', element('p', {}, said), ...shownResult(index, result))
}

/** @param {string} text */
function say(text) {
  if (status !== null) status.textContent = text
}

// ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {Tour} tour */
const save = (tour) => sessionStorage.setItem(KEY, JSON.stringify(tour))

/** @returns {Tour | undefined} */
function load() {
  try {
    const tour = JSON.parse(sessionStorage.getItem(KEY) ?? 'null')
    return Array.isArray(tour?.results) ? tour : undefined
  } catch {
    return undefined
  }
}

/** A moment per step, so that the eye can follow. */
const pause = () =>
  matchMedia('(prefers-reduced-motion: reduce)').matches
    ? Promise.resolve()
    : new Promise((resolve) => setTimeout(resolve, 300))

/**
 * @param {Tour} tour
 * @param {number} end run the steps before this one
 */
async function run(tour, end) {
  setBusy(true)
  for (let index = tour.step; index < end; index++) {
    const step = steps[index]
    if (step === undefined) break
    show(index, 'running')
    say(`Step ${index + 1} of ${steps.length}: ${step.title} …`)
    await pause()
    try {
      const result = await step.run(tour.memory)
      tour.results[index] = result
      if (index === ASK) {
        save(tour)
        askUser(tour)
        return
      }
      tour.step = index + 1
      save(tour)
      showDone(index, result)
    } catch (error) {
      fail(index, error)
      return
    }
  }
  finish()
}

/** @param {Tour} tour */
function askUser(tour) {
  const go = element('button', { class: 'main', type: 'button' }, 'Continue to sign in')
  go.addEventListener('click', () => location.assign(tour.memory.authorizeUrl ?? '/'))
  show(
    ASK,
    'asking',
    element(
      'p',
      {},
      'Your turn. The next page is the shop’s own sign-in: use ',
      element('code', {}, 'alice'),
      ' and ',
      element('code', {}, 'wonderland'),
      '. Then you are asked whether this app may see your orders.',
    ),
    element('div', { class: 'actions' }, go),
    ...shownResult(ASK, tour.results[ASK] ?? {}),
  )
  setBusy(false)
  runButton?.setAttribute('hidden', '')
  say(`Step ${ASK + 1} of ${steps.length}: your turn to sign in.`)
  go.focus({ preventScroll: true })
  go.scrollIntoView({ block: 'center' })
}

/**
 * @param {number} index
 * @param {unknown} error
 */
function fail(index, error) {
  const message = error instanceof Error ? error.message : String(error)
  const exchanges = error instanceof Surprise ? error.exchanges : []
  show(index, 'failed', element('p', { class: 'failure' }, message), ...shownExchanges(index, exchanges))
  sessionStorage.removeItem(KEY)
  say(`Stopped at step ${index + 1} of ${steps.length}: ${message}`)
  setBusy(false)
  byId(`step-${index + 1}`)?.focus()
}

function finish() {
  setBusy(false)
  say(`All ${steps.length} steps done: every one went as it should. Now try it with your own client, below.`)
}

/** @param {boolean} isBusy */
function setBusy(isBusy) {
  if (runButton === null || resetButton === null) return
  runButton.removeAttribute('hidden')
  runButton.setAttribute('aria-disabled', String(isBusy))
  runButton.textContent = isBusy ? 'Running …' : load() === undefined ? 'Run the whole flow' : 'Run it again'
  resetButton.toggleAttribute('hidden', load() === undefined || isBusy)
}

function clear() {
  sessionStorage.removeItem(KEY)
  list?.replaceChildren(...steps.map(() => element('li')))
  for (const index of steps.keys()) show(index, 'waiting')
  say('')
}

/**
 * The user is back from the authorization server.
 * @param {Tour} tour
 * @param {URLSearchParams} answer
 */
function comeBack(tour, answer) {
  history.replaceState(null, '', '/')
  const { memory } = tour
  byId(`step-${ASK + 1}`)?.focus()
  if (answer.get('state') !== memory.state)
    return fail(ASK, new Error('The answer belongs to another request (state).'))
  if (answer.get('iss') !== memory.server?.issuer)
    return fail(ASK, new Error('The answer is from another authorization server (iss).'))
  const code = answer.get('code')
  const shown = [...answer].map(([name, value]) => `${name}=${name === 'iss' ? value : short(value)}`)
  const asked = tour.results[ASK]?.exchanges?.[0]
  const exchange = {
    request: asked?.request ?? '',
    status: 303,
    response: `Location: ${redirectUri}\n\n${shown.join('\n')}`,
  }
  if (code === null) {
    const said =
      answer.get('error') === 'access_denied' ? 'You said no, and the app got nothing.' : 'There is no code.'
    return fail(ASK, new Surprise(said, [exchange]))
  }
  memory.code = code
  tour.results[ASK] = { exchanges: [exchange] }
  tour.step = ASK + 1
  save(tour)
  showDone(ASK, tour.results[ASK])
  return run(tour, steps.length)
}

function begin() {
  if (runButton?.getAttribute('aria-disabled') === 'true') return
  clear()
  run({ step: 0, memory: {}, results: [] }, steps.length)
}

function start() {
  const issuer = byId('tour')?.dataset.issuer
  const elsewhere = byId('elsewhere')
  if (list === null || elsewhere === null) return
  if (issuer !== location.origin) {
    elsewhere.append(
      'The tour runs where the shop’s issuer is: ',
      element('a', { href: `${issuer}/` }, `${issuer}/`),
    )
    elsewhere.removeAttribute('hidden')
    return
  }
  document.querySelector('.without-script')?.remove()
  const tour = load()
  clear()
  runButton?.addEventListener('click', begin)
  resetButton?.addEventListener('click', () => {
    clear()
    setBusy(false)
    runButton?.focus()
  })
  if (tour === undefined) return setBusy(false)
  save(tour)
  tour.results.slice(0, tour.step).forEach((result, index) => {
    showDone(index, result)
  })
  const answer = new URLSearchParams(location.search)
  if (tour.step === ASK && (answer.has('code') || answer.has('error'))) return comeBack(tour, answer)
  if (tour.step === ASK) return askUser(tour)
  if (tour.step === steps.length) return finish()
  setBusy(false)
  say('The tour was interrupted. Run it again.')
}

// The clipboard is there on https and on loopback.
for (const button of navigator.clipboard ? document.querySelectorAll('button[data-copy]') : []) {
  button.removeAttribute('hidden')
  button.addEventListener('click', async () => {
    const text = byId(button.getAttribute('data-copy') ?? '')?.textContent ?? ''
    await navigator.clipboard.writeText(text)
    button.textContent = 'Copied'
    setTimeout(() => {
      button.textContent = 'Copy'
    }, 1500)
  })
}
start()
