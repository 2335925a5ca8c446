// SPDX-License-Identifier: Apache-2.0
// Abbreviations keep their full stop; some of them give a second one when they end a sentence.
#include <algorithm>
#include <iterator>

#include "evaluate/ptb_lexer.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

using Word = std::u32string_view;

template <size_t Count>
bool contains(const Word (&words)[Count], Word word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

// In small letters, as all lists here but the openers: abbreviations count in any case.
// They stand before a name, so that a capital behind them ends no sentence.
constexpr Word kTitles[] = {
    U"mr",    U"mrs",  U"ms",   U"messrs", U"dr",    U"drs",   U"prof",  U"profs", U"sen", U"sens",
    U"rep",   U"reps", U"gov",  U"govs",   U"pres",  U"hon",   U"rev",   U"atty",  U"gen", U"supt",
    U"supts", U"col",  U"lt",   U"maj",    U"capt",  U"lieut", U"attys", U"cpl",   U"sgt", U"pvt",
    U"pfc",   U"adm",  U"cmdr", U"brig",   U"comdr", U"det",   U"spc",   U"st",    U"ste", U"mt",
    U"ft",    U"ave",  U"mme",  U"mlle",   U"msgr",  U"dept",  U"bldg",  U"vs",    U"al"};

// Months, days, states, companies, what stands behind a name: they may end a sentence.
constexpr Word kMayEndSentence[] = {
    U"jan",  U"feb", U"apr",  U"jun",  U"jul",  U"aug",   U"sep",  U"sept", U"oct",  U"nov",
    U"dec",  U"tue", U"tues", U"thu",  U"thur", U"thurs", U"ala",  U"ariz", U"colo", U"calif",
    U"conn", U"fla", U"kan",  U"kans", U"ky",   U"md",    U"mich", U"minn", U"mont", U"neb",
    U"nebr", U"nev", U"okla", U"penn", U"tenn", U"tex",   U"va",   U"vt",   U"wis",  U"wisc",
    U"wyo",  U"inc", U"co",   U"cos",  U"corp", U"ltd",   U"plc",  U"assn", U"univ", U"intl",
    U"bros", U"jr",  U"sr",   U"esq",  U"blvd", U"rd",    U"etc",  U"natl", U"elec", U"mfg"};

// The same, but in small letters they are words of their own.
constexpr Word kCapitalMayEndSentence[] = {U"mar",  U"mon", U"wed", U"fri", U"ark",
                                           U"ga",   U"ill", U"ind", U"la",  U"mass",
                                           U"miss", U"mo",  U"ore", U"pa",  U"wash"};

// They mean something before a number only.
constexpr Word kBeforeNumber[] = {U"no", U"nos", U"fig", U"figs", U"prop", U"ca"};

// Words that begin a sentence so often that an acronym in front of them ended the last one.
constexpr Word kOpeners[] = {
    U"A",    U"About", U"After", U"All",     U"An",    U"As",   U"At",    U"But",   U"Earlier",
    U"He",   U"Her",   U"Here",  U"However", U"If",    U"In",   U"It",    U"Last",  U"Many",
    U"More", U"Now",   U"Once",  U"One",     U"Other", U"Our",  U"She",   U"Since", U"So",
    U"Some", U"Such",  U"That",  U"The",     U"Their", U"Then", U"There", U"These", U"They",
    U"This", U"We",    U"What",  U"When",    U"While", U"Yet",  U"You"};

bool is_space(char32_t point) {
  return is_blank(point) || is_line_end(point);
}

size_t skip_spaces(Ahead ahead, size_t from) {
  while (is_space(ahead[from])) ++from;
  return from;
}

size_t ascii_letters_end(Ahead ahead, size_t from) {
  while (is_ascii_letter(ahead[from])) ++from;
  return from;
}

// The end of what shows that a sentence ended before `from`: a capital behind white space. At the
// end of the stream it is `from` itself; 0 when the sentence goes on.
size_t sentence_end(Ahead ahead, size_t from) {
  if (ahead[from] == kEndOfText) return from;
  const size_t next = skip_spaces(ahead, from);
  if (next == from) return 0;
  return ahead[next] == kEndOfText || is_upper_case(ahead[next]) ? next + 1 : 0;
}

// The end of an opener between white space behind `from`; 0 when there is none.
size_t opener_end(Ahead ahead, size_t from) {
  const size_t start = skip_spaces(ahead, from);
  const size_t end = ascii_letters_end(ahead, start);
  if (start == from || !is_space(ahead[end])) return 0;
  return contains(kOpeners, ahead.first(end).substr(start)) ? end + 1 : 0;
}

// `etc.` whose full stop is read once more as the end of the sentence.
Lexeme with_second_stop(Ahead ahead, size_t stop, size_t reach) {
  return {stop, reach, std::u32string(ahead.first(stop + 1))};
}

// Co. before Ltd. goes on; otherwise as every word that may end a sentence.
Lexeme closing_abbreviation(Ahead ahead, size_t stop) {
  const size_t next = skip_spaces(ahead, stop + 1);
  const bool limited = ahead.first(next + 3).substr(std::min(next, ahead.size())) == U"Ltd";
  if (limited && ahead.first(stop) == U"Co") return lexeme(stop + 1, next + 3);
  const size_t reach = sentence_end(ahead, stop + 1);
  return reach > 0 ? with_second_stop(ahead, stop, reach) : lexeme(stop + 1);
}

Lexeme listed_abbreviation(Ahead ahead) {
  const size_t stop = ascii_letters_end(ahead, 0);
  if (stop == 0 || ahead[stop] != '.') return {};
  const std::u32string word = lower_case(ahead.first(stop));
  if (contains(kTitles, word)) return lexeme(stop + 1);
  const bool capital = is_upper_case(ahead[0]) && contains(kCapitalMayEndSentence, word);
  if (capital || contains(kMayEndSentence, word)) return closing_abbreviation(ahead, stop);
  if (contains(kBeforeNumber, word)) {
    const size_t next = skip_spaces(ahead, stop + 1);
    if (is_digit(ahead[next])) return lexeme(stop + 1, next + 1);
  }
  return {};
}

Lexeme doctorate(Ahead ahead) {
  for (const Word degree : {U"Ph.D.", U"Ed.D."}) {
    if (ahead.first(degree.size()) != degree) continue;
    const size_t reach = sentence_end(ahead, degree.size());
    if (reach > 0) return with_second_stop(ahead, degree.size() - 1, reach);
    return lexeme(degree.size());
  }
  return {};
}

// U.S., p.m., J.: letters with a full stop each. Before a word that opens a sentence an acronym
// gives its stop twice, and a single letter loses it.
Lexeme initials(Ahead ahead) {
  if (!is_ascii_letter(ahead[0]) || ahead[1] != '.') return {};
  size_t end = 2;
  while (is_ascii_letter(ahead[end]) && ahead[end + 1] == '.') end += 2;
  const size_t reach = opener_end(ahead, end);
  if (reach == 0) return lexeme(end);
  return end == 2 ? lexeme(1, reach) : with_second_stop(ahead, end - 1, reach);
}

}  // namespace

Lexeme match_abbreviation(Ahead ahead) {
  return longer(longer(listed_abbreviation(ahead), doctorate(ahead)), initials(ahead));
}

}  // namespace fastvlm
