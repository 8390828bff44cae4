-- Which session of this id it is: an id may be used again after a purge. What is kept elsewhere under the id
-- (a cache) says by it whether it is about this one. '' for sessions from before.
ALTER TABLE sessions.sessions ADD COLUMN incarnation text COLLATE "C" NOT NULL DEFAULT '';
