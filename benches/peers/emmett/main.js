#!/usr/bin/env node
// Twin: Emmett with its PostgreSQL store, on Node. Started as `main.js ADDRESS DATABASE_URL VARIANT`; the best variant has a larger pool.

import { createServer } from 'node:http';
import { CommandHandler, IllegalStateError } from '@event-driven-io/emmett';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import pg from 'pg';

const [address, databaseUrl, variant] = process.argv.slice(2);
const [host, port] = address.split(':');

const pool = new pg.Pool({ connectionString: databaseUrl, max: variant === 'best' ? 32 : 10 });
const store = getPostgreSQLEventStore(databaseUrl, { connectionOptions: { pool } });
await store.schema.migrate();

const evolve = (account, { type, data }) => type === 'Opened'
  ? { ...account, open: true }
  : { ...account, balance: account.balance + data.amount };

const decide = (command, data) => (account) => {
  if (command === 'Open') {
    if (account.open) throw new IllegalStateError('already-open');
    return { type: 'Opened', data };
  }
  if (!account.open) throw new IllegalStateError('not-open');
  if (data.amount === 0) throw new IllegalStateError('amount-is-zero');
  return { type: 'Deposited', data };
};

const handle = CommandHandler({
  evolve,
  initialState: () => ({ open: false, balance: 0 }),
  retry: { onVersionConflict: 10 },
});

async function readBody(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

async function answer(request) {
  if (request.url === '/readyz') return [200, { status: 'ready' }];
  const [, id] = request.url.match(/^\/v1\/deciders\/account\/([^/]+)\/commands$/) ?? [];
  if (request.method !== 'POST' || id === undefined) return [404, { code: 'not-found' }];
  const { command, data } = await readBody(request);
  try {
    const { nextExpectedStreamVersion, newEvents } = await handle(store, `account-${id}`, decide(command, data));
    return [200, { decider: 'account', id, version: Number(nextExpectedStreamVersion), events: newEvents }];
  } catch (error) {
    if (error instanceof IllegalStateError) {
      return [422, { code: 'command-rejected', rejection: { code: error.message } }];
    }
    console.error(error);
    return [500, { code: 'internal' }];
  }
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request);
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), host);
process.on('SIGTERM', () => process.exit(0));
