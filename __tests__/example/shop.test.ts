import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { localPath } from '../../example-app/sign-in.js'
import { DPOP_CHALLENGE } from '../support/dpop.ts'
import { Browser } from '../support/world.ts'
import { type Shop, startShop } from './start-shop.ts'

let shop: Shop
beforeAll(async () => {
  shop = await startShop()
})
afterAll(() => shop.close())

describe('the sign-in of the shop', () => {
  test('a right password starts a session with an id of its own', async () => {
    const browser = new Browser(shop.base)
    const answer = await shop.signIn(browser)
    expect(answer.status).toBe(303)
    expect(answer.headers.get('location')).toBe('/products')
    const [cookie = ''] = answer.headers.getSetCookie()
    expect(cookie).toMatch(/^shop\.session=.*; Path=\/.*HttpOnly; SameSite=Lax/)
    const page = await (await browser.get('/products')).text()
    expect(page).toContain('Pocket watch')
    expect(page).toContain('Sign out')
    const first = browser.cookies.get('shop.session')
    await shop.signIn(browser)
    expect(browser.cookies.get('shop.session')).not.toBe(first)
  })

  test.each([
    ['alice', 'builder'],
    ['alice', ''],
    ['', ''],
    ['nobody', 'wonderland'],
    ['__proto__', 'x'],
  ])('%j with %j is refused, and no session begins', async (username, password) => {
    const browser = new Browser(shop.base)
    const answer = await shop.signIn(browser, username, password)
    expect(answer.status).toBe(401)
    expect(answer.headers.getSetCookie()).toEqual([])
    expect(await answer.text()).toContain('role="alert"')
  })

  test('what was typed comes back escaped', async () => {
    const answer = await shop.signIn(new Browser(shop.base), '"><script>alert(1)</script>', 'x')
    const page = await answer.text()
    expect(page).not.toContain('<script>')
    expect(page).toContain('&#60;script&#62;')
  })

  test.each([
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example/',
    '\\\\evil.example/',
    '/\t/evil.example/',
    '/.//evil.example/',
    '/x/..//evil.example/',
    '/%2e//evil.example/',
    'javascript:alert(1)',
    'products',
    '',
  ])('return_to %j does not lead away', async (returnTo) => {
    const answer = await shop.signIn(new Browser(shop.base), 'alice', 'wonderland', returnTo)
    expect(answer.status).toBe(303)
    expect(answer.headers.get('location')).toBe('/')
  })

  test('return_to keeps a path of this site, whole', () => {
    expect(localPath('/oauth/authorize/consent?request=a_b-c')).toBe('/oauth/authorize/consent?request=a_b-c')
    expect(localPath('/products#top')).toBe('/products#top')
    expect(localPath(['/products', '/x'])).toBe('/')
    expect(localPath(undefined)).toBe('/')
  })

  test('a form that another site sends is refused', async () => {
    const answer = await shop.post(
      '/sign-in',
      { username: 'alice', password: 'wonderland' },
      { 'Sec-Fetch-Site': 'cross-site' },
    )
    expect(answer.status).toBe(403)
    expect(answer.headers.getSetCookie()).toEqual([])
  })

  test('signing out ends the session on the server too', async () => {
    const browser = new Browser(shop.base)
    await shop.signIn(browser)
    const stolen = new Map(browser.cookies)
    expect((await browser.send('/sign-out', { method: 'POST' })).status).toBe(303)
    browser.cookies.set('shop.session', stolen.get('shop.session') ?? '')
    expect(await (await browser.get('/products')).text()).not.toContain('Sign out')
  })
})

describe('the pages of the shop', () => {
  test('strict headers, no inline script and no inline style', async () => {
    for (const path of ['/', '/products', '/sign-in', '/nowhere']) {
      const response = await fetch(shop.base + path)
      expect(response.status).toBe(path === '/nowhere' ? 404 : 200)
      const policy = response.headers.get('content-security-policy') ?? ''
      expect(policy).toContain("default-src 'none'")
      expect(policy).not.toContain('unsafe')
      expect(response.headers.get('x-powered-by')).toBeNull()
      const page = await response.text()
      expect(page).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=/)
    }
  })

  test('the home page has the URLs to try and a configuration for MCP clients', async () => {
    const page = await (await fetch(shop.base)).text()
    expect(page).toContain(`&#34;url&#34;: &#34;${shop.base}/mcp&#34;`)
    for (const [, path = ''] of page.matchAll(/<a href="(\/\.well-known\/[^"]+)"/g)) {
      const document = await fetch(shop.base + path)
      expect([path, document.status]).toEqual([path, 200])
    }
    expect([...page.matchAll(/<a href="\/\.well-known\//g)]).toHaveLength(4)
  })

  test('a visitor at localhost is sent to the one origin of the shop', async () => {
    const answer = await fetch(`${shop.base.replace('127.0.0.1', 'localhost')}/products?x=1`, {
      redirect: 'manual',
    })
    expect(answer.headers.get('location')).toBe(`${shop.base}/products?x=1`)
  })

  test('an order of the page is in the API, and the other way round', async () => {
    const browser = new Browser(shop.base)
    await shop.signIn(browser, 'bob', 'builder')
    const order = await browser.send('/orders', {
      method: 'POST',
      body: new URLSearchParams({ product: 'chess-set' }),
    })
    expect(order.status).toBe(303)
    const token = await shop.tokenOf('bob', 'builder', 'orders:read orders:write')
    const { body } = await shop.call('GET', '/api/orders', token)
    expect(body.orders.map(({ product }: { product: string }) => product)).toEqual(['hard-hat', 'chess-set'])
    await shop.call('POST', '/api/orders', token, { product: 'teapot', quantity: 3 })
    expect(await (await browser.get('/products')).text()).toContain('3 × Teapot')
  })

  test('an order without a session leads to the sign-in', async () => {
    const answer = await shop.post('/orders', { product: 'teapot' })
    expect(answer.headers.get('location')).toBe('/sign-in?return_to=/products')
  })

  test('a configured secret is not on the page', async () => {
    const backendSecret = 'a-real-secret-of-somebody-0123456789'
    const other = await startShop({ backendSecret })
    try {
      const page = await (await fetch(other.base)).text()
      expect(page).not.toContain(backendSecret)
      expect(page).toContain('shop-backend:$SHOP_BACKEND_SECRET')
      const token = await other.post('/oauth/token', { grant_type: 'client_credentials' }, other.backend)
      expect(token.status).toBe(200)
    } finally {
      await other.close()
    }
  })
})

describe('GET and POST /api/orders', () => {
  test('without a token: a challenge that leads on', async () => {
    const { status, headers } = await shop.call('GET', '/api/orders')
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toBe(
      `Bearer scope="orders:read", resource_metadata="${shop.base}/.well-known/oauth-protected-resource/api", ${DPOP_CHALLENGE}`,
    )
  })

  test('reading takes orders:read, writing orders:write', async () => {
    const token = await shop.tokenOf('alice', 'wonderland', 'orders:read')
    const { status, body } = await shop.call('GET', '/api/orders', token)
    expect(status).toBe(200)
    expect(body.orders.length).toBeGreaterThan(0)
    expect(body.orders.every(({ user }: { user: string }) => user === 'alice')).toBe(true)
    const refused = await shop.call('POST', '/api/orders', token, { product: 'teapot' })
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toContain('scope="orders:write"')
  })

  test('an order is checked', async () => {
    const token = await shop.tokenOf('alice', 'wonderland', 'orders:write')
    const right = await shop.call('POST', '/api/orders', token, { product: 'teapot', quantity: 2 })
    expect(right.status).toBe(201)
    expect(right.body).toMatchObject({ user: 'alice', product: 'teapot', quantity: 2 })
    const before = (await shop.orders.all()).length
    for (const wrong of [
      {},
      [],
      { product: 'rabbit' },
      { product: 'teapot', quantity: 0 },
      { product: 'teapot', quantity: 1.5 },
      { product: 'teapot', quantity: '2' },
      { product: 'teapot', quantity: 11 },
      { product: 'toString' },
      { product: ['teapot'] },
    ]) {
      const { status, body } = await shop.call('POST', '/api/orders', token, wrong)
      expect([wrong, status, body.error]).toEqual([wrong, 400, 'invalid_request'])
    }
    const broken = await fetch(`${shop.base}/api/orders`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: '{"product":',
    })
    expect(broken.status).toBe(400)
    expect(await broken.json()).toMatchObject({ error: 'invalid_request' })
    expect(await shop.orders.all()).toHaveLength(before)
  })

  test('nobody can order in the name of another user', async () => {
    const token = await shop.tokenOf('bob', 'builder', 'orders:write')
    const { body } = await shop.call('POST', '/api/orders', token, { product: 'teapot', user: 'alice' })
    expect(body.user).toBe('bob')
  })

  test('the backend sees all orders, may place none, and may introspect', async () => {
    const { body } = await shop.post('/oauth/token', { grant_type: 'client_credentials' }, shop.backend)
    expect(body.scope).toBe('orders:read')
    const { body: list } = await shop.call('GET', '/api/orders', body.access_token)
    expect(new Set(list.orders.map(({ user }: { user: string }) => user))).toEqual(new Set(['alice', 'bob']))
    const order = await shop.call('POST', '/api/orders', body.access_token, { product: 'teapot' })
    expect(order.status).toBe(403)
    const wanted = await shop.post(
      '/oauth/token',
      { grant_type: 'client_credentials', scope: 'orders:write' },
      shop.backend,
    )
    expect(wanted.body.error).toBe('invalid_scope')
    const ofUser = await shop.tokenOf('alice', 'wonderland', 'orders:read', `${shop.base}/mcp`)
    const introspected = await shop.post('/oauth/introspect', { token: ofUser }, shop.backend)
    expect(introspected.body).toMatchObject({ active: true, sub: 'alice', aud: `${shop.base}/mcp` })
  })
})

describe('the routes of the tour', () => {
  test('for signed-in users only', async () => {
    expect((await shop.call('POST', '/demo/rotate')).status).toBe(401)
    expect((await shop.call('GET', '/demo/ring')).status).toBe(401)
    const browser = new Browser(shop.base)
    await shop.signIn(browser)
    const activeKid = async (answer: Response) => {
      const { keys } = (await answer.json()) as { keys: { kid: string; state: string }[] }
      return keys.find(({ state }) => state === 'active')?.kid
    }
    const before = await activeKid(await browser.get('/demo/ring'))
    const after = await activeKid(await browser.send('/demo/rotate', { method: 'POST' }))
    expect(before).toEqual(expect.any(String))
    expect(after).toEqual(expect.any(String))
    expect(after).not.toBe(before)
    const foreign = await browser.send('/demo/rotate', {
      method: 'POST',
      headers: { 'Sec-Fetch-Site': 'cross-site' },
    })
    expect(foreign.status).toBe(403)
  })

  test('not there where the demo is off', async () => {
    const plain = await startShop({ demo: false })
    try {
      const browser = new Browser(plain.base)
      await plain.signIn(browser)
      expect((await browser.send('/demo/rotate', { method: 'POST' })).status).toBe(404)
      expect(await (await browser.get('/')).text()).not.toContain('id="run"')
    } finally {
      await plain.close()
    }
  })
})
