%% Version 2: an entry has one field more, as in `modules/ledger-1.1.0`.
-module(ledger).
-behaviour(gen_server).
-vsn("2").
-export([start_link/1, init/1, handle_call/3, handle_cast/2, code_change/3]).

start_link(Entries) -> gen_server:start_link(?MODULE, Entries, []).

init(_Entries) -> {ok, {state, #{}}}.

handle_call(version, _From, State) -> {reply, 2, State};
handle_call({touch, Key}, _From, {state, Entries}) ->
    #{Key := {entry, Id, Name, Quantity, Price, Active, Discount}} = Entries,
    Touched = {entry, Id, Name, Quantity + 1, Price, Active, Discount},
    {reply, Quantity + 1, {state, Entries#{Key := Touched}}}.

handle_cast(_, State) -> {noreply, State}.

code_change(_Old, {state, Entries}, _Extra) ->
    Changed = fun(_Key, {entry, Id, Name, Quantity, Price, Active}) ->
        {entry, Id, Name, Quantity, Price, Active, 0}
    end,
    {ok, {state, maps:map(Changed, Entries)}}.
