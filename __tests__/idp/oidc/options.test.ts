import { describe, expect, test } from '@jest/globals'
import { loadOpenidClient } from '../../../lib/idp/oidc-provider.ts'
import { oidcSignIn } from '../../../lib/idp.ts'
import { createAat } from '../../../lib/index.ts'

const issuer = 'https://shop.example.com'
const aat = createAat({ issuer, resources: { [`${issuer}/api`]: { scopes: ['a'] } } })
const good = { url: `${issuer}/sign-in`, issuer: 'https://idp.example.com', clientId: 'shop' }

test('what is needed is enough', () => {
  const { router, resolveUser, signInUrl } = oidcSignIn(aat, good)
  expect([typeof router, typeof resolveUser]).toEqual(['function', 'function'])
  const context = {
    clientId: 'c',
    prompt: ['login', 'consent'],
    maxAge: 5,
    acrValues: [],
    loginHint: undefined,
  }
  expect(signInUrl({ ...context, returnTo: '/a?b=c' })).toBe(
    '/sign-in?return_to=%2Fa%3Fb%3Dc&prompt=login&max_age=5',
  )
  oidcSignIn(aat, { ...good, issuer: 'https://idp.example.com/', url: 'http://127.0.0.1:3000' })
})

describe('is refused', () => {
  test.each<[Record<string, unknown>, RegExp]>([
    [{ url: undefined }, /url must be a string/],
    [{ url: `${issuer}/sign-in/` }, /url must not end with a slash/],
    [{ url: 'http://shop.example.com/sign-in' }, /url must be https/],
    [{ url: `${issuer}/sign-in?a=b` }, /url must not have a query/],
    [{ issuer: 'http://idp.example.com' }, /issuer must be https/],
    [{ issuer: 'idp' }, /issuer must be an absolute URL/],
    [{ clientId: '' }, /clientId must be/],
    [{ clientSecret: 7 }, /clientSecret must be/],
    [{ scope: 'profile' }, /scope must be scopes with openid/],
    [{ subject: 'sub' }, /subject must be a function/],
    [{ displayName: 'name' }, /displayName must be a function/],
    [{ sessionEnd: 3600 }, /sessionEnd must be a function/],
    [{ afterSignOut: 'https://evil.example' }, /afterSignOut must be a path/],
    [{ afterSignOut: '//evil.example' }, /afterSignOut must be a path/],
    [{ clockTolerance: 301 }, /clockTolerance must be a whole number of seconds/],
    [{ httpTimeout: 0.5 }, /httpTimeout must be a whole number of milliseconds/],
    [{ rateLimit: true }, /rateLimit must be/],
    [{ clientSecert: 'x' }, /clientSecert is not an option; did you mean clientSecret/],
  ])('%j', (more, words) => {
    expect(() => oidcSignIn(aat, { ...good, ...more } as typeof good)).toThrow(words)
  })

  test('all problems at once, and no secret among them', () => {
    const options = { ...good, url: 'x', clientId: '', clientSecret: `${'very-secret-'.repeat(100)}` }
    try {
      oidcSignIn(aat, options)
      throw new Error('not refused')
    } catch (error) {
      expect((error as { problems: string[] }).problems).toHaveLength(3)
      expect(String(error)).not.toContain('very-secret')
    }
  })

  test('something else than an aat', () => {
    expect(() => oidcSignIn({} as typeof aat, good)).toThrow('oidcSignIn: the first argument must be')
  })
})

test('without openid-client there is one clear line', async () => {
  const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  await expect(loadOpenidClient(() => Promise.reject(missing))).rejects.toThrow(
    /^oidcSignIn: needs openid-client 6: npm install openid-client$/,
  )
})
