import { expect, test } from '@jest/globals'
import express from 'express'
import { CATCH_ALL, describeMount, ERROR_PAGE } from './smoke.ts'

test('the Express under test is the one of the project', () => {
  // Express 4 makes its router late; Express 5 has no such method.
  const major = 'lazyrouter' in express() ? 4 : 5
  expect(major).toBe((globalThis as { EXPRESS_MAJOR?: number }).EXPRESS_MAJOR)
})

describeMount('at the root', {})
describeMount('under /auth', { prefix: '/auth' })
describeMount('under two segments', { prefix: '/tenants/one' })
describeMount('in a sub-app', { prefix: '/auth', container: 'sub-app' })
describeMount('in a sub-app at the root', { container: 'sub-app' })
describeMount('in a router', { prefix: '/auth', container: 'router' })

describeMount('with endpoints at other paths', {
  prefix: '/auth',
  paths: {
    authorization: '/start',
    token: '/v2/token',
    revocation: '/forget',
    introspection: '/ask',
    registration: '/clients',
  },
})

describeMount('before a catch-all and an error handler of the app', {
  after(app) {
    app.use((_req, res) => {
      res.send(CATCH_ALL)
    })
    const onError: express.ErrorRequestHandler = (_error, _req, res, _next) => {
      res.status(500).send(ERROR_PAGE)
    }
    app.use(onError)
  },
})

describeMount('behind CORS of the app', {
  before(app) {
    app.use((req, res, next) => {
      res.setHeader('Access-Control-Allow-Origin', req.headers.origin ?? '*')
      res.setHeader('Vary', 'Origin')
      if (req.method !== 'OPTIONS') return next()
      res.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type')
      res.sendStatus(204)
    })
  },
  headers: { Origin: 'https://spa.example' },
  aat: { corsOrigins: ['https://spa.example'] },
})

describeMount('with strict and case-sensitive routing and the extended query parser', {
  before(app) {
    app.enable('strict routing')
    app.enable('case sensitive routing')
    app.set('query parser', 'extended')
    app.disable('etag')
  },
})
