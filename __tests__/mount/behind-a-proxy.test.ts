import { describeMount, FORGED } from './smoke.ts'

const forged = {
  'X-Forwarded-For': `${FORGED}, 999.1.1.1, <script>`,
  'X-Forwarded-Host': FORGED,
  'X-Forwarded-Proto': 'javascript',
  'X-Forwarded-Port': '99999',
  'X-Original-URL': `//${FORGED}/`,
  Forwarded: `for=${FORGED};host=${FORGED};proto=javascript`,
}

for (const trust of [1, 'loopback', true]) {
  const before = (app: import('express').Express) => {
    app.set('trust proxy', trust)
  }
  describeMount(`trust proxy ${trust}`, { proxy: { passOn: false }, before })
  describeMount(`trust proxy ${trust}, under /auth, with forged headers that the proxy passes on`, {
    prefix: '/auth',
    proxy: { passOn: true },
    headers: forged,
    before,
  })
}

describeMount('trust proxy not set, with forged headers', { proxy: { passOn: true }, headers: forged })
