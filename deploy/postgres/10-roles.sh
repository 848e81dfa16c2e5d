#!/bin/bash
# Runs once, when the container makes its database: the owner, the application's role and
# the one that sees statistics, with the same rights as in the native stack
# (scripts/stack/preparation.py). None is a superuser.
set -euo pipefail
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
     --set superuser="$POSTGRES_USER" --set database="$POSTGRES_DB" \
     --set owner="$OWNER_USER" --set app="$APP_USER" --set monitor="$MONITOR_USER" \
     --set monitor_password="$MONITOR_PASSWORD" \
     --set owner_password="$OWNER_PASSWORD" --set app_password="$APP_PASSWORD" <<'SQL'
SET log_min_duration_statement = -1;  -- No password in a log.
SET log_min_error_statement = 'panic';
CREATE ROLE :"owner" LOGIN NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
CREATE ROLE :"app" LOGIN NOCREATEDB NOCREATEROLE PASSWORD :'app_password';
CREATE ROLE :"monitor" LOGIN NOCREATEDB NOCREATEROLE PASSWORD :'monitor_password';
GRANT pg_monitor TO :"monitor";
ALTER DATABASE :"database" OWNER TO :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"app", :"monitor";
-- It shared the owner's for a moment. From here on it comes in by the container's socket only.
ALTER ROLE :"superuser" PASSWORD NULL;
SQL
