CREATE TABLE ticket (
    ticket_id text PRIMARY KEY,
    requester text NOT NULL,
    title text NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'waiting', 'closed')),
    priority text NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    opened text NOT NULL,
    detail text NOT NULL
);

CREATE TABLE comment (
    ticket_id text NOT NULL REFERENCES ticket,
    author text NOT NULL,
    text text NOT NULL,
    idempotency_key text NOT NULL UNIQUE
);

INSERT INTO ticket VALUES
    ('T-1001', 'ada', 'Laptop battery drains within an hour', 'open', 'high', '2026-10-02',
     'The battery of the loaned laptop falls from 100 % to 10 % within an hour, also when idle. A replacement is on order.'),
    ('T-1002', 'ada', 'No access to the analytics warehouse', 'waiting', 'urgent', '2026-10-14',
     'Queries fail with "permission denied for schema finance". Waiting for the data owner to approve the request.'),
    ('T-1003', 'ada', 'VPN drops every morning', 'closed', 'normal', '2026-08-20',
     'The connection was lost at 9:00 each day. Solved by the new client, version 5.2.'),
    ('T-1004', 'grace', 'Build agents run out of disk', 'open', 'urgent', '2026-10-21',
     'The cache volume of the build agents is full since Monday; nightly builds fail.'),
    ('T-1005', 'grace', 'Request for a second monitor', 'open', 'low', '2026-09-30',
     'A 27 inch monitor for the desk in room 4.12.'),
    ('T-1006', 'admin', 'Badge reader at the north door is offline', 'open', 'high', '2026-10-19',
     'The reader shows a red light and lets nobody in. Facilities will replace its power supply.'),
    ('T-1007', 'admin', 'Renew the wildcard certificate', 'waiting', 'urgent', '2026-11-03',
     'The certificate of *.example.org ends on 30 November. Waiting for the signed request.');
